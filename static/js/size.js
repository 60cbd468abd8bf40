// Size chips and the two numbers behind "custom". `sizeOf` for the quota meter and the command line.
export function sizeOf(form) {
  const chosen = form.querySelector("[name=size]:checked");
  if (chosen && chosen.value !== "custom") return { vcpus: Number(chosen.dataset.vcpus), memory: Number(chosen.dataset.memory) };
  return { vcpus: Number(form.elements.vcpus.value) || 0, memory: Number(form.elements.memory_mib.value) || 0 };
}

export function setSize(form, vcpus, memory) {
  const chip = form.querySelector(`[name=size][value="${vcpus}x${memory}"]`) ?? form.querySelector("[name=size][value=custom]");
  chip.checked = true;
  form.elements.vcpus.value = vcpus;
  form.elements.memory_mib.value = memory;
  fold(form);
}

function fold(form) {
  const custom = form.querySelector("[name=size][value=custom]");
  form.querySelector("[data-size-custom]").hidden = !custom.checked;
}

export function watchSize(form) {
  form.addEventListener("change", (event) => {
    if (event.target.name !== "size") return;
    if (event.target.value !== "custom") {
      form.elements.vcpus.value = event.target.dataset.vcpus;
      form.elements.memory_mib.value = event.target.dataset.memory;
    }
    fold(form);
  });
}
