// Menus are <details data-menu>: one open at a time, closed by Escape, by a click elsewhere and by a choice. And the rail on narrow screens.
const openMenus = () => document.querySelectorAll("details[data-menu][open]");

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) {
    const chosen = menu.contains(event.target) && !event.target.closest("summary") && event.target.closest("button:not([aria-disabled]), a");
    if (!menu.contains(event.target) || chosen) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
  if (document.body.dataset.rail) toggleRail(false);
});

function toggleRail(open) {
  const button = document.querySelector("[data-rail-toggle]");
  if (open) document.body.dataset.rail = "open";
  else delete document.body.dataset.rail;
  button.setAttribute("aria-expanded", String(open));
  if (open) document.querySelector("#rail a").focus();
  else button.focus();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-rail-toggle]")) toggleRail(true);
  else if (document.body.dataset.rail && !event.target.closest("#rail")) toggleRail(false);
});
