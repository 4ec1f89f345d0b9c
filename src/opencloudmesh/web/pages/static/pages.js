// What the pages do more comfortably with a script; everything works without it.

// Times in the reader's zone and language.
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.getTime())) {
    time.title = time.textContent;
    time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}

// Lists that a search field narrows while one types.
for (const field of document.querySelectorAll("input[data-filters]")) {
  field.addEventListener("input", () => {
    const sought = field.value.trim().toLocaleLowerCase();
    for (const item of document.querySelector(field.dataset.filters)?.children ?? []) {
      item.hidden = !item.textContent.toLocaleLowerCase().includes(sought);
    }
  });
}

// Read-only fields are there to be copied.
for (const field of document.querySelectorAll("input[readonly]")) {
  field.addEventListener("focus", () => field.select());
}

// "Where are you from": the visitor's last choice, in this browser only.
const LAST = "ocm-last-server";
const token = document.querySelector("main input[name=token]")?.value;
const place = document.getElementById("last");
try {
  for (const link of document.querySelectorAll("a[data-remember]")) {
    link.addEventListener("click", () => localStorage.setItem(LAST, link.dataset.remember));
  }
  const last = localStorage.getItem(LAST);
  if (place && token && last) {
    const link = place.querySelector("a");
    link.textContent = last;
    link.href = `/wayf?${new URLSearchParams({ token, server: last })}`;
    place.hidden = false;
  }
} catch {
  // no storage in this browser: nothing is remembered
}
