// A folder's files travel without their paths: send the paths beside them.
// Without this script several files or an archive do the same.

const MOST = 500;

// Said before anything is sent: nothing that was typed is lost.
for (const input of document.querySelectorAll("[data-upload] input[type=file]")) {
  input.addEventListener("change", () => {
    const count = input.files.length;
    const tooMany = `These are ${count} files; send at most ${MOST}.`;
    input.setCustomValidity(count > MOST ? tooMany : "");
    input.reportValidity();
  });
}

for (const input of document.querySelectorAll("[data-folder]")) {
  const paths = input.closest("[data-upload]").querySelector("[data-folder-paths]");
  input.addEventListener("change", () => {
    const found = [...input.files].map((file) => file.webkitRelativePath || file.name);
    paths.value = JSON.stringify(found);
  });
}
