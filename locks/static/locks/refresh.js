// Replaces the page's live part every few seconds, while somebody looks.
"use strict";

const part = document.getElementById("locks");
const lost = document.getElementById("locks-lost");
const said = document.getElementById("locks-said");
const url = part.dataset.refreshUrl;
const pause = Number(part.dataset.refreshSeconds) * 1000;

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch(url, { headers: { Accept: "text/html" } });
      if (answer.redirected) {
        location.reload(); // the login has ended
        return;
      }
      replace(await answer.text());
      say(false);
    } catch {
      say(true); // the server is away
    }
  }
  setTimeout(refresh, pause);
}

// The table keeps its place, and the verdict is read aloud when it is another one: not every three seconds.
function replace(html) {
  const left = part.querySelector(".locks-table")?.scrollLeft ?? 0;
  const isFocused = part.contains(document.activeElement);
  part.innerHTML = html;
  const table = part.querySelector(".locks-table");
  if (table) {
    table.scrollLeft = left;
    if (isFocused) table.focus({ preventScroll: true });
  }
  const verdict = part.querySelector("[data-verdict]")?.textContent ?? "";
  if (said.textContent !== verdict) said.textContent = verdict;
}

function say(isOld) {
  lost.hidden = !isOld;
  part.classList.toggle("locks-quiet", isOld);
}

setTimeout(refresh, pause);
