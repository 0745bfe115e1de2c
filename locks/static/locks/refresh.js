// Replaces the page's live part every few seconds, while somebody looks.
"use strict";

const part = document.getElementById("locks");
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
      part.innerHTML = await answer.text();
      part.classList.remove("locks-quiet");
    } catch {
      part.classList.add("locks-quiet"); // the server is away: what is shown is old
    }
  }
  setTimeout(refresh, pause);
}

setTimeout(refresh, pause);
document.addEventListener("visibilitychange", () => document.hidden || part.classList.remove("locks-quiet"));
