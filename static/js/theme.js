// Light or dark, before the first paint: follows the system until the person chooses otherwise. Loaded by every page's head, not as a module.
(() => {
  const KEY = "opsweb-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => localStorage.getItem(KEY) || (system.matches ? "dark" : "light");
  const apply = () => document.documentElement.setAttribute("data-bs-theme", wanted());

  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", (event) => event.key === KEY && apply());
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const other = wanted() === "dark" ? "light" : "dark";
    // Back at the system's own choice, there is nothing to remember.
    if (other === (system.matches ? "dark" : "light")) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, other);
    apply();
  });
})();
