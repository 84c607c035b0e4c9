(() => {
  "use strict";
  const MISSING = new Set(["", "–"]);
  const NAMED = { inf: Infinity, "-inf": -Infinity };
  const collator = new Intl.Collator(undefined, { numeric: true });

  /** What a cell is sorted by; null where it has no value. */
  function keyOf(cell, isNumber) {
    const text = (cell?.textContent ?? "").trim();
    if (MISSING.has(text)) return null;
    if (!isNumber) return text;
    if (text in NAMED) return NAMED[text];
    const digits = text.replace(/[\u202f,]/g, "").match(/[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?/i);
    return digits ? Number(digits[0]) : null;
  }

  function sortRows(rows, column, isNumber, isDescending) {
    const compare = isNumber ? (a, b) => a - b : collator.compare;
    const keyed = rows.map((row, i) => ({ row, i, key: keyOf(row.cells[column], isNumber) }));
    keyed.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.i - b.i; // missing: last
      const order = a.key === b.key ? 0 : compare(a.key, b.key);
      return (isDescending ? -order : order) || a.i - b.i;
    });
    return keyed.map(({ row }) => row);
  }

  function makeSortable(table) {
    const body = table.tBodies[0], original = [...body.rows];
    if (original.length < 2) return;
    const headers = [...table.tHead.rows[0].cells].filter((header) => header.textContent.trim());
    for (const header of headers) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: null }[header.ariaSort] ?? "ascending";
        const direction = header.ariaSort === "descending" ? null : next;
        for (const other of headers) other.removeAttribute("aria-sort");
        if (direction) header.setAttribute("aria-sort", direction);
        const isNumber = header.classList.contains("number");
        const rows = direction ? sortRows(original, header.cellIndex, isNumber, direction === "descending") : original;
        const fragment = document.createDocumentFragment();
        for (const row of rows) fragment.append(row);
        body.append(fragment);
      });
    }
  }

  /** Rows of trials: filtered by `zoo:trials`, and each says `zoo:trial` when it is clicked or focused. */
  function listenToTrials(table) {
    const body = table.tBodies[0], rows = [...body.querySelectorAll("tr[data-trial]")];
    if (!rows.length) return;
    const count = document.createElement("p");
    count.className = "muted table-count";
    count.setAttribute("role", "status");
    (table.closest(".scroll") ?? table).before(count);

    let chosen = null;
    const choose = (row) => {
      if (row === chosen) return;
      chosen?.classList.remove("chosen");
      row?.classList.add("chosen");
      chosen = row;
      document.dispatchEvent(new CustomEvent("zoo:trial", { detail: row ? Number(row.dataset.trial) : null }));
    };
    const rowOf = (event) => event.target.closest("tr[data-trial]");
    const step = (row, way) => {
      let next = row;
      do next = next?.[way]; while (next?.hidden);
      return next;
    };
    const enter = (row) => { // one stop of the Tab key for the table; arrows move through its rows
      for (const other of rows) other.tabIndex = -1;
      if (row) row.tabIndex = 0;
    };
    body.addEventListener("click", (event) => choose(rowOf(event)));
    body.addEventListener("focusin", (event) => {
      enter(rowOf(event));
      choose(rowOf(event));
    });
    body.addEventListener("keydown", (event) => {
      const way = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      if (event.key === "Escape") choose(null);
      if (!way) return;
      event.preventDefault();
      step(rowOf(event), way)?.focus();
    });
    enter(rows[0]);

    document.addEventListener("zoo:trials", ({ detail: trials }) => {
      for (const row of rows) row.hidden = trials !== null && !trials.has(Number(row.dataset.trial));
      const shown = rows.filter((row) => !row.hidden);
      count.textContent = trials === null ? "" : `${shown.length} of ${rows.length} trials`;
      if (chosen?.hidden) choose(null);
      enter(shown.find((row) => row === chosen) ?? shown[0]);
    });
  }

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    makeSortable(table);
    listenToTrials(table);
  }
})();
