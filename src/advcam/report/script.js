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

// The list of all images: sorted, filtered, a page at a time. Texts are set as text, so names can hold anything.
const sift = document.getElementById("sift");
if (sift) {
  const all = JSON.parse(document.getElementById("tile-data").textContent);
  const place = document.getElementById("tiles");
  const each = 48;
  let page = 0;

  const keep = (tile) => {
    const show = sift.elements.show.value;
    return (!sift.elements.class.value || tile.classes.includes(sift.elements.class.value))
      && (!sift.elements.name.value || tile.name.toLowerCase().includes(sift.elements.name.value.toLowerCase()))
      && (!show || (show === "flagged" ? tile.flagged : show === "decided" ? tile.decision : !tile.decision));
  };
  const order = {
    doubt: (a, b) => (b.doubt ?? -1) - (a.doubt ?? -1),
    iou: (a, b) => (a.iou ?? 2) - (b.iou ?? 2),
    "-iou": (a, b) => (b.iou ?? -1) - (a.iou ?? -1),
    name: (a, b) => (a.name < b.name ? -1 : 1),
  };
  const element = (name, text, style) => Object.assign(document.createElement(name), { textContent: text, className: style });

  function draw() {
    const kept = all.filter(keep);
    const compare = order[sift.elements.sort.value];
    if (compare) kept.sort(compare);
    const pages = Math.max(1, Math.ceil(kept.length / each));
    page = Math.min(Math.max(page, 0), pages - 1);
    sift.querySelector("output").textContent = `${page + 1} of ${pages} (${kept.length})`;
    place.replaceChildren(...kept.slice(page * each, (page + 1) * each).map((tile) => {
      const figure = element("figure", "", "shot tile");
      const image = element("img", "", "");
      const said = [tile.iou === null ? "" : `IoU ${(100 * tile.iou).toFixed(0)}`, tile.doubt === null ? "" : `doubt ${tile.doubt.toFixed(2)}`, ...tile.reasons, tile.decision];
      image.src = tile.address;
      image.alt = `${tile.name} (${tile.classes.join(", ")})`;
      image.tabIndex = 0;
      const caption = element("figcaption", "", "name");
      caption.append(element("b", tile.name, ""), document.createElement("br"), [tile.classes.join(", "), ...said.filter(Boolean)].join(" · "));
      figure.append(image, caption);
      return figure;
    }));
  }
  sift.addEventListener("input", () => { page = 0; draw(); });
  sift.addEventListener("submit", (event) => event.preventDefault());
  sift.querySelectorAll("button").forEach((button) => button.addEventListener("click", () => { page += Number(button.value); draw(); }));
  draw();
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
