// A folder's files travel without their paths: send the paths beside them.
// Without this script several files or an archive do the same.

for (const input of document.querySelectorAll("[data-folder]")) {
  const paths = input.closest("[data-upload]").querySelector("[data-folder-paths]");
  input.addEventListener("change", () => {
    const found = [...input.files].map((file) => file.webkitRelativePath || file.name);
    paths.value = JSON.stringify(found);
  });
}
