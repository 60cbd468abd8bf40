// The dashboard and the lists: a file dropped anywhere is uploaded, then the create page opens with it.
import { newBox, takeFiles, uploadShown } from "./progress.js";
import { kindOf } from "./upload.js";

const team = new URLSearchParams(document.getElementById("rail").dataset.url.split("?")[1]).get("team");

takeFiles(async (files) => {
  const query = new URLSearchParams({ team });
  for (const file of files) {
    try {
      const kind = await kindOf(file);
      if (kind === "config") sessionStorage.setItem("opsweb-config", await file.text());
      else {
        const done = await uploadShown(file, team);
        if (!done) return;
        query.set(kind, done.id);
      }
    } catch (error) {
      newBox(file.name).fail(error.message);
      return;
    }
  }
  location.assign(`/instances/new/?${query}`);
});
