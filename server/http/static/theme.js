// Sets the theme before the page is painted, and lets it be chosen: as the system has it, light, or dark.
// Not a module, for modules run after the first paint.

(() => {
  const CHOICES = ["system", "light", "dark"];
  const KEY = "tickserve-theme";

  const read = () => {
    try {
      const stored = localStorage.getItem(KEY);
      return CHOICES.includes(stored) ? stored : "system";
    } catch {
      return "system"; // storage is forbidden: the choice lasts as long as the page
    }
  };

  const apply = (choice) => {
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
  };

  let choice = read();
  apply(choice);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => { button.textContent = `Theme: ${choice}`; };
    label();
    button.hidden = false;
    button.addEventListener("click", () => {
      choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
      apply(choice);
      label();
      try {
        localStorage.setItem(KEY, choice);
      } catch { /* as above */ }
    });
  });
})();
