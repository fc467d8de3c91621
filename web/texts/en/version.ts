/** When the server has another version of the console than the page. */
export const version = {
  isThere: "A new version is there.",
  kept: "What you have typed is kept.",
  load: "Load it",
};
