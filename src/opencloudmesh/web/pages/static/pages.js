// What the pages do more comfortably with a script; everything works without it.

// Times in the reader's zone and language.
const showTimes = (place) => {
  for (const time of place.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.textContent;
      time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    }
  }
};
showTimes(document);

// The invitation of a page that is for anybody.
const token = document.querySelector("main input[name=token]")?.value;

// A list that the server searches while one types; the button does the same without a script.
for (const field of document.querySelectorAll("input[data-searches]")) {
  const place = document.querySelector(field.dataset.searches);
  let waiting = 0;
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => search(field.value), 150);
  });
  const search = async (sought) => {
    const asked = new URLSearchParams({ [field.dataset.searchesAs ?? field.name]: sought });
    if (token) asked.set("token", token);
    const answer = await fetch(`${location.pathname}?${asked}`).catch(() => null);
    if (!answer?.ok || sought !== field.value) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.querySelector(field.dataset.searches);
    if (!found) return;
    place.replaceChildren(...found.childNodes);
    showTimes(place);
  };
}

// Read-only fields are there to be copied: a button does it.
const letCopy = (place) => {
  for (const field of place.querySelectorAll("input[readonly]")) {
    field.addEventListener("focus", () => field.select());
  }
  for (const button of place.querySelectorAll("button[data-copies]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const field = document.querySelector(button.dataset.copies);
      const written = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
      if (!written) field.select();
      if (!written && !document.execCommand("copy")) return;
      button.textContent = button.dataset.done;
      button.setAttribute("aria-label", button.dataset.done);
    });
  }
};
letCopy(document);

// "Where are you from": the visitor's last choice, in this browser only.
const LAST = "ocm-last-server";
const place = document.getElementById("last");
document.addEventListener("click", (event) => {
  const host = event.target.closest?.("[data-remember]")?.dataset.remember;
  try {
    if (host) localStorage.setItem(LAST, host);
  } catch {
    // no storage in this browser: nothing is remembered
  }
});
// A name that was typed and sent is remembered until the answer says that there is no such server.
document.addEventListener("submit", (event) => {
  const typed = event.submitter?.name ? "" : event.target.querySelector("input[data-finds]")?.value.trim();
  try {
    if (typed) localStorage.setItem(LAST, typed.slice(typed.lastIndexOf("@") + 1).replace(/^((https?:\/\/)?[^/]*)\/.*$/i, "$1"));
  } catch {
    // as above
  }
});
try {
  const sent = document.querySelector("input[data-finds]")?.value.trim();
  if (sent && document.querySelector("#found .fault")) localStorage.removeItem(LAST);
  const last = localStorage.getItem(LAST);
  if (place && token && last) {
    const link = place.querySelector("a");
    link.textContent = last;
    link.href = `/wayf?${new URLSearchParams({ token, server: last })}`;
    place.hidden = false;
  }
} catch {
  // nothing was remembered
}

// A server is looked for while one types its name, as soon as that may be a whole one; the button does the same without a script.
const WHOLE = /^(https?:\/\/)?[^\s/]*[^\s.:@/](\.[a-z][a-z-]+|:\d{2,5})(\/\S*)?$/i;
const PAUSE = 600;
const LONGER_PAUSE = 1500;
for (const field of document.querySelectorAll("input[data-finds]")) {
  const shown = document.querySelector(field.dataset.finds);
  let waiting = 0;
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    const server = field.value.trim();
    shown.replaceChildren();
    if (WHOLE.test(server)) waiting = setTimeout(() => find(server), PAUSE);
  });
  const find = async (server) => {
    const answer = await fetch(`/wayf?${new URLSearchParams({ token, server })}`).catch(() => null);
    if (!answer?.ok || server !== field.value.trim()) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.querySelector(`${field.dataset.finds} > section`);
    if (!found) return;
    const fault = found.querySelector(".fault");
    if (!fault) {
      shown.replaceChildren(document.adoptNode(found));
      return letCopy(shown);
    }
    // That a name is none yet is no fault of who still types it: it is said when nothing more comes, and not as an alarm.
    waiting = setTimeout(() => {
      const said = document.createElement("p");
      said.className = "detail";
      said.textContent = fault.textContent;
      shown.replaceChildren(said);
    }, LONGER_PAUSE - PAUSE);
  };
}

// The zone of the reader, for a day that is chosen.
for (const field of document.querySelectorAll("input[name=zone]")) {
  field.form.addEventListener("submit", () => {
    const [year, month, day] = field.form.elements.until.value.split("-").map(Number);
    field.value = year ? new Date(year, month - 1, day + 1).getTimezoneOffset() : 0;
  });
}
