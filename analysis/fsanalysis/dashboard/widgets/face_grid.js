export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  let grid = parentElement.querySelector(".fs-grid");
  if (!grid) {
    grid = document.createElement("div");
    grid.className = "fs-grid";
    parentElement.appendChild(grid);
    grid.marked = new Set();
  }
  const wanted = JSON.stringify([data.faces, data.size]);
  if (grid.shown === wanted) return;
  grid.shown = wanted;
  const here = new Set(data.faces.map((face) => face.row));
  const before = grid.marked.size;
  grid.marked = new Set([...grid.marked].filter((row) => here.has(row)));
  if (grid.marked.size !== before) setStateValue("marked", [...grid.marked]);
  grid.replaceChildren(
    ...data.faces.map((face) => {
      const cell = document.createElement("div");
      cell.className = "fs-cell";
      cell.style.width = `${data.size}px`;
      const open = document.createElement("button");
      open.type = "button";
      open.title = "show this face and its photo";
      open.setAttribute("aria-label", `face ${face.row}: ${face.caption}`);
      const image = document.createElement("img");
      image.loading = "lazy";
      image.alt = "";
      image.src = `${data.prefix}/faces/${face.row}.jpg`;
      open.appendChild(image);
      open.onclick = () => setTriggerValue("opened", face.row);
      const tick = document.createElement("input");
      tick.type = "checkbox";
      tick.title = "mark";
      tick.setAttribute("aria-label", `mark face ${face.row}`);
      tick.checked = grid.marked.has(face.row);
      cell.classList.toggle("fs-marked", tick.checked);
      tick.onchange = () => {
        if (tick.checked) grid.marked.add(face.row);
        else grid.marked.delete(face.row);
        cell.classList.toggle("fs-marked", tick.checked);
        setStateValue("marked", [...grid.marked]);
      };
      const caption = document.createElement("div");
      caption.className = "fs-caption";
      caption.textContent = face.caption;
      cell.append(open, tick, caption);
      return cell;
    })
  );
}
