// A drawing that can be moved by dragging and enlarged by the wheel, two fingers or the keys + - 0.
(() => {
  const box = document.getElementById('drawing'), svg = box.querySelector('svg');
  if (!svg) return;
  const natural = svg.viewBox.baseVal;
  const whole = {x: natural.x, y: natural.y, width: natural.width, height: natural.height};
  svg.removeAttribute('width');
  svg.removeAttribute('height');
  const place = svg.getScreenCTM.bind(svg);
  const set = (x, y, width, height) => svg.setAttribute('viewBox', `${x} ${y} ${width} ${height}`);
  const now = () => svg.viewBox.baseVal;
  const at = (clientX, clientY) => new DOMPoint(clientX, clientY).matrixTransform(place().inverse());
  const zoom = (factor, point) => {
    const v = now();
    const f = Math.min(Math.max(factor, whole.width / 200 / v.width), 4 * whole.width / v.width);
    set(point.x - (point.x - v.x) * f, point.y - (point.y - v.y) * f, v.width * f, v.height * f);
  };
  box.addEventListener('wheel', e => { e.preventDefault(); zoom(Math.exp(e.deltaY / 400), at(e.clientX, e.clientY)); }, {passive: false});
  const pointers = new Map();
  box.addEventListener('pointerdown', e => { pointers.set(e.pointerId, e); box.setPointerCapture(e.pointerId); });
  for (const end of ['pointerup', 'pointercancel']) box.addEventListener(end, e => pointers.delete(e.pointerId));
  box.addEventListener('pointermove', e => {
    const before = pointers.get(e.pointerId);
    if (!before) return;
    const from = at(before.clientX, before.clientY), to = at(e.clientX, e.clientY);
    if (pointers.size === 1) {
      const v = now();
      set(v.x - to.x + from.x, v.y - to.y + from.y, v.width, v.height);
    } else {
      const other = [...pointers.values()].find(p => p.pointerId !== e.pointerId);
      const length = p => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY);
      zoom(length(before) / Math.max(length(e), 1), at(other.clientX, other.clientY));
    }
    pointers.set(e.pointerId, e);
  });
  addEventListener('keydown', e => {
    const v = now(), middle = {x: v.x + v.width / 2, y: v.y + v.height / 2};
    if (e.key === '+') zoom(0.8, middle);
    if (e.key === '-') zoom(1.25, middle);
    if (e.key === '0') set(whole.x, whole.y, whole.width, whole.height);
  });
  box.addEventListener('dblclick', () => set(whole.x, whole.y, whole.width, whole.height));
})();
