// Enlarges a picture in a dialog; the arrow keys go on to its neighbours. Without it the page shows all the same.
const viewer = document.getElementById("viewer");
const large = viewer.querySelector("img");
let shown = null;

function show(image) {
  shown = image;
  large.src = image.src;
  large.alt = image.alt;
  viewer.querySelector("figcaption").textContent = image.alt;
  if (!viewer.open) viewer.showModal();
}

function step(by) {
  const seen = [...document.querySelectorAll(".shot img")].filter((image) => image.offsetParent !== null);
  const next = seen[seen.indexOf(shown) + by];
  if (next) show(next);
}

document.addEventListener("click", (event) => {
  if (event.target.matches(".shot img")) show(event.target);
  else if (viewer.open) viewer.close();
});
document.addEventListener("keydown", (event) => {
  if (viewer.open && event.key === "ArrowRight") step(1);
  else if (viewer.open && event.key === "ArrowLeft") step(-1);
  else if (event.key === "Enter" && event.target.matches(".shot img")) show(event.target);
});
