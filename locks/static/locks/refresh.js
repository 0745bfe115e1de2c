// Replaces the page's live part every few seconds, while somebody looks.
"use strict";

const part = document.getElementById("locks");
const lost = document.getElementById("locks-lost");
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
      say(false);
    } catch {
      say(true); // the server is away
    }
  }
  setTimeout(refresh, pause);
}

function say(isOld) {
  lost.hidden = !isOld;
  part.classList.toggle("locks-quiet", isOld);
}

setTimeout(refresh, pause);
