// The config tab: chips, rows, and a warning before what was typed is lost.
import { watchNics } from "./nics.js";
import { watchPorts } from "./ports.js";
import { showRefusal } from "./refused.js";
import { watchSize } from "./size.js";

const form = document.getElementById("edit");
let isDirty = false;

watchSize(form);
watchPorts(form);
watchNics(form);
showRefusal(form);
form.addEventListener("input", () => { isDirty = true; });
form.addEventListener("submit", () => { isDirty = false; });
addEventListener("beforeunload", (event) => isDirty && event.preventDefault());
