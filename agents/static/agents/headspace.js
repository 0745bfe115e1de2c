// Keeps the part of a page that is marked data-refresh up to date, and says times in the reader's own zone.
"use strict";

const EVERY = 2000; // ms
const PATIENCE = 5000; // ms

function sayTimes(root) {
  for (const time of root.querySelectorAll("time[data-clock]")) {
    const instant = new Date(time.dateTime);
    const isToday = instant.toDateString() === new Date().toDateString();
    time.title = time.textContent;
    time.textContent = isToday ? instant.toLocaleTimeString() : instant.toLocaleString();
  }
}

class Live {
  constructor(place) {
    this.place = place;
    this.counts = document.getElementById("counts");
    this.connection = document.getElementById("connection");
    this.title = document.title;
    this.shown = "";
    this.heardAt = new Date();
    this.timer = 0;
    this.address = new URL(location.href);
    this.address.hash = "";
    this.address.searchParams.set("fragment", "1");
  }

  start() {
    this.sayCounts();
    document.addEventListener("visibilitychange", () => this.plan(0));
    this.plan(EVERY);
  }

  plan(delay) {
    clearTimeout(this.timer);
    if (!document.hidden) this.timer = setTimeout(() => this.turn(), delay);
  }

  async turn() {
    try {
      await this.refresh();
    } catch {
      this.sayLost();
    }
    this.plan(EVERY);
  }

  async refresh() {
    const answer = await fetch(this.address, { redirect: "manual", signal: AbortSignal.timeout(PATIENCE) });
    // Logged out meanwhile: the page itself leads to the login, and back.
    if (answer.type === "opaqueredirect") return location.reload();
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    this.show(await answer.text());
    this.heardAt = new Date();
    this.connection.hidden = true;
    document.body.classList.remove("lost");
  }

  show(text) {
    // What the reader is about to copy stays where it is.
    if (text === this.shown || this.isSelected()) return;
    this.shown = text;
    const kept = this.keep();
    this.place.innerHTML = text;
    this.restore(kept);
    this.sayCounts();
    sayTimes(this.place);
  }

  isSelected() {
    const selection = getSelection();
    return !selection.isCollapsed && this.place.contains(selection.anchorNode);
  }

  keep() {
    const focused = this.place.contains(document.activeElement) ? this.keyOf(document.activeElement) : null;
    const open = [...this.place.querySelectorAll("details[open]")].map((details) => details.id);
    const aside = [...this.place.querySelectorAll(".scroll")].map((region) => [region.id, region.scrollLeft]);
    return { focused, open, aside, x: scrollX, y: scrollY };
  }

  keyOf(element) {
    return element.id || element.closest("[id]").id;
  }

  restore({ focused, open, aside, x, y }) {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    for (const [id, left] of aside) document.getElementById(id)?.scrollTo({ left, behavior: "instant" });
    if (focused) this.focus(document.getElementById(focused));
    scrollTo({ left: x, top: y, behavior: "instant" });
  }

  focus(element) {
    const target = element?.matches("details") ? element.querySelector("summary") : element;
    target?.focus({ preventScroll: true });
  }

  // The place that announces changes stays the same element, and is touched only when the numbers are others.
  sayCounts() {
    const told = this.place.querySelector("[data-counts]");
    if (!told) return;
    if (this.counts.innerHTML !== told.innerHTML) this.counts.innerHTML = told.innerHTML;
    const urgent = told.querySelector(".urgent b");
    document.title = urgent ? `(${urgent.textContent}) ${this.title}` : this.title;
    told.remove();
  }

  sayLost() {
    if (!this.connection.hidden) return;
    this.connection.textContent = `Not connected. What you see is from ${this.heardAt.toLocaleTimeString()}.`;
    this.connection.hidden = false;
    document.body.classList.add("lost");
  }
}

sayTimes(document);
const place = document.querySelector("[data-refresh]");
if (place) new Live(place).start();
