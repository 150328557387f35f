// The page follows what happens, asks in place before it acts, and has keys. All of it works without this script, too.
"use strict";
(() => {
  const live = document.getElementById("live");
  const pulse = document.getElementById("pulse");
  const trouble = document.getElementById("trouble");
  const dialog = document.getElementById("dialog");

  // Live: events while the page is seen; where there are none, a look every five seconds.
  let events = null, timer = 0, failures = 0;

  // Whoever is about to do something with the page is not to have it changed under their hands.
  function isBusy() {
    const active = document.activeElement;
    const writes = active && live.contains(active) && active.matches("input, select, textarea");
    const selects = live.querySelector("input[name=id]:checked");
    const selection = getSelection();
    const marks = selection && !selection.isCollapsed && live.contains(selection.anchorNode);
    return Boolean(writes || selects || marks || dialog.open);
  }

  // Where an element is among those that can have the focus, so that its successor gets it.
  function placeOf(element) {
    if (!element || !live.contains(element) || !element.getAttribute("href")) return null;
    return element.getAttribute("href");
  }

  function show(html) {
    say("");
    if (isBusy()) return state(true);
    const focused = placeOf(document.activeElement);
    const scrolled = [...live.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    live.innerHTML = html;
    live.querySelectorAll(".scroll").forEach((box, at) => { box.scrollLeft = scrolled[at] || 0; });
    if (focused) {
      const again = [...live.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === focused);
      if (again) again.focus({ preventScroll: true });
    }
    prepare();
    state(false);
  }

  function state(isStill) {
    pulse.hidden = false;
    pulse.classList.toggle("still", isStill);
    pulse.textContent = isStill ? "held" : "live";
    pulse.title = isStill ? "This page waits until you are done" : "This page follows what happens";
  }

  function say(text) {
    trouble.textContent = text;
    trouble.hidden = !text;
    if (text) pulse.hidden = true;
  }

  function start() {
    stop();
    if (document.hidden) return;
    if (!window.EventSource || failures > 2) return poll();
    events = new EventSource(live.dataset.live);
    events.addEventListener("page", (event) => { failures = 0; show(event.data); });
    events.addEventListener("trouble", (event) => say(event.data));
    events.addEventListener("error", () => {
      pulse.hidden = true;
      // The browser connects again by itself, unless it was answered with an error.
      if (events && events.readyState === EventSource.CLOSED) { failures += 1; timer = setTimeout(start, 2000); }
    });
  }

  function stop() {
    if (events) events.close();
    events = null;
    clearTimeout(timer);
  }

  async function poll() {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected && new URL(answer.url).pathname === "/ui/login") return location.reload();
      const fresh = parse(await answer.text()).getElementById("live");
      if (answer.ok && fresh) show(fresh.innerHTML);
      else say("The server answers " + answer.status + ".");
    } catch {
      say("The server does not answer.");
    }
    timer = setTimeout(poll, 5000);
  }

  function parse(html) { return new DOMParser().parseFromString(html, "text/html"); }

  // Actions: the question of the page that asks, here.
  async function ask(request) {
    const answer = await fetch(request);
    const question = parse(await answer.text()).querySelector("#confirm, main section");
    if (!question || answer.redirected) return location.reload();
    dialog.replaceChildren(document.adoptNode(question));
    dialog.showModal();
    const first = dialog.querySelector("[autofocus]");
    if (first) first.focus();
  }

  document.addEventListener("click", (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || !dialog.showModal) return;
    const link = event.target.closest("a[data-confirm]");
    if (link) {
      event.preventDefault();
      ask(link.href).catch(() => location.assign(link.href));
    } else if (dialog.open && (event.target === dialog || event.target.closest("[data-back], dialog a[href='/ui']"))) {
      event.preventDefault();
      dialog.close();
    }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-confirm]");
    if (!form || !dialog.showModal) return;
    event.preventDefault();
    ask(new Request(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) }))
      .catch(() => form.submit());
  });

  // All of the dead that are shown, with one mark.
  function prepare() {
    const all = document.querySelector("[data-all]");
    if (all) all.hidden = false;
  }
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      for (const box of document.querySelectorAll("input[name=id]")) box.checked = event.target.checked;
    }
    if (live && live.contains(event.target) && trouble.hidden) state(isBusy());
  });

  // Keys: / to find a job, g and the first letter of a page.
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
    if (event.key === "/") {
      event.preventDefault();
      const field = document.getElementById("id");
      return field ? field.focus() : location.assign("/ui/jobs#id");
    }
    const pages = [...document.querySelectorAll("nav a")];
    const page = isGoing && pages.find((link) => link.textContent[0].toLowerCase() === event.key);
    isGoing = event.key === "g";
    if (page) page.click();
    else if (/^[1-9]$/.test(event.key) && pages[event.key - 1]) pages[event.key - 1].click();
  });

  prepare();
  const here = document.querySelector("nav [aria-current]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 40;
  if (location.hash === "#id" && document.getElementById("id")) document.getElementById("id").focus();
  if (location.search.includes("said=") && history.replaceState) {
    // A page that is loaded again does not say again what was done.
    const address = new URL(location.href);
    for (const name of ["said", "done", "not"]) address.searchParams.delete(name);
    history.replaceState(null, "", address);
  }
  if (live) {
    document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
    addEventListener("pagehide", stop);
    addEventListener("pageshow", (event) => event.persisted && start());
    start();
  }
})();
