"use strict";
// Forms with data-into change a part of the page in place; without this script they load a page. A part with data-live
// is asked for again every two seconds while it can be seen.
(() => {
  const part = { headers: { "X-Part": "1" }, credentials: "same-origin", cache: "no-store" };
  const status = document.getElementById("status");
  const busy = new WeakSet();

  function tell(text, bad) {
    if (!status) return;
    status.textContent = text;
    status.classList.toggle("bad", Boolean(bad));
  }

  function put(into, html) {
    const inside = into.contains(document.activeElement);
    into.innerHTML = html;
    if (inside) into.focus({ preventScroll: true }); // the next Tab goes on from here, not from the page's beginning
    const said = into.querySelector("[data-said]");
    if (said) tell(said.dataset.said, false);
  }

  async function send(form, button) {
    const into = document.getElementById(form.dataset.into);
    const answer = await fetch(form.action, { ...part, method: "POST", body: new FormData(form, button) });
    const html = await answer.text();
    if (!answer.ok) {
      const page = new DOMParser().parseFromString(html, "text/html");
      const said = page.querySelector("main p");
      tell(said ? said.textContent.trim() : "This could not be done", true);
      return;
    }
    tell("", false);
    put(into, html);
    if (form.dataset.clear !== undefined) form.reset();
    form.querySelectorAll("[data-at-once]").forEach((field) => { field.value = ""; });
    if (form.dataset.into === "found") into.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.into || !document.getElementById(form.dataset.into)) return;
    event.preventDefault();
    if (busy.has(form)) return;
    busy.add(form);
    send(form, event.submitter)
      .catch(() => tell("The page's process does not answer: is it still running?", true))
      .finally(() => busy.delete(form));
  });

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form");
    if (event.target.dataset.atOnce !== undefined && form && form.dataset.into && event.target.files.length) form.requestSubmit();
  });

  async function follow(place) {
    const ticked = new Set([...place.querySelectorAll("input:checked")].map((box) => box.value));
    const answer = await fetch(place.dataset.part, part);
    if (!answer.ok) return;
    const html = await answer.text();
    if (html === place.dataset.last) return;
    place.dataset.last = html;
    const focused = place.contains(document.activeElement);
    if (focused) return; // whoever is in it with the keyboard is not thrown out; the next change is shown after
    const scrolled = [...place.querySelectorAll(".scroll")].map((one) => one.scrollTop);
    place.innerHTML = html;
    place.querySelectorAll(".scroll").forEach((one, at) => { one.scrollTop = scrolled[at] || 0; });
    place.querySelectorAll("input[type=checkbox]").forEach((box) => { box.checked = ticked.has(box.value); });
  }

  const followed = document.querySelector("[data-live]");
  if (followed) {
    setInterval(() => { if (!document.hidden) follow(followed).catch(() => {}); }, 2000);
  }
})();
