/** The two small questions the chat asks: what name, and really delete? */

import { find } from "./dom.ts";

/** A new name for `name`, or null when the visitor changed their mind. */
export async function askName(name: string): Promise<string | null> {
  const dialog = find<HTMLDialogElement>("[data-rename]");
  const input = find<HTMLInputElement>("[data-rename-name]", dialog);
  input.value = name;
  dialog.returnValue = "";
  dialog.showModal();
  input.select();
  await closed(dialog);
  const given = input.value.trim();
  return dialog.returnValue === "yes" && given ? given : null;
}

/** Whether the visitor wants `title` done, having read `words`. */
export async function confirmDelete(title: string, words: string): Promise<boolean> {
  const dialog = find<HTMLDialogElement>("[data-confirm]");
  find("[data-confirm-title]", dialog).textContent = title;
  find("[data-confirm-words]", dialog).textContent = words;
  dialog.returnValue = "";
  dialog.showModal();
  await closed(dialog);
  return dialog.returnValue === "yes";
}

function closed(dialog: HTMLDialogElement): Promise<void> {
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(), { once: true });
  });
}
