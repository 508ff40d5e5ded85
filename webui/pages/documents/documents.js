() => {
  // Everything that comes from papers and models goes in as text (textContent), never as HTML.
  const root = document.getElementById('kd-documents');
  if (!root || root.dataset.begun) return;
  root.dataset.begun = 'yes';
  const all = /*texts*/ {};
  const lang = (document.documentElement.lang || navigator.language || 'ko').startsWith('ko') ? 'ko' : 'en';
  const t = (key, values = {}) =>
    all[lang][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
  const api = new URL('documents/api/', new URL('./', location.href)).pathname;
  const PART = 32 * 2 ** 20; // bytes: a larger file goes in parts of this size
  const state = { stores: [], models: [], store: null };
  let round = 0; // what is drawn belongs to the store that was chosen last

  const make = (tag, given = {}, ...inside) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) {
      if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
      else if (name === 'text') made.textContent = value;
      else if (value === true) made.setAttribute(name, '');
      else if (value !== false && value != null) made.setAttribute(name, value);
    }
    made.append(...inside.filter((one) => one != null));
    return made;
  };

  const ask = async (method, path, body) => {
    let answer;
    try {
      const headers = body ? { 'content-type': 'application/json' } : {};
      answer = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) });
    } catch {
      throw new Error(t('offline'));
    }
    return said(answer.status, await answer.text());
  };
  const said = (status, body) => {
    let found = {};
    try { found = JSON.parse(body); } catch { /* a proxy's page */ }
    if (status >= 200 && status < 300) return found;
    const { message, hint } = found.error || {};
    throw new Error([message || t('offline'), hint].filter(Boolean).join(' '));
  };
  const id = encodeURIComponent;
  const later = (milliseconds) => new Promise((next) => setTimeout(next, milliseconds));

  // The frame

  const trouble = make('p', { class: 'kd-card kd-failure', role: 'alert', hidden: true });
  const tell = (error) => { trouble.textContent = error?.message || ''; trouble.hidden = !error; };
  const guarded = (fn) => async (event) => {
    event?.preventDefault?.();
    try { tell(null); await fn(event); } catch (error) { tell(error); }
  };
  const list = make('ul', { id: 'documents-stores', class: 'kd-stores' });
  const named = make('input', {
    id: 'documents-name', maxlength: 200, required: true,
    placeholder: t('store_name'), 'aria-label': t('store_name'),
  });
  const adding = make('form', { class: 'kd-line', onsubmit: guarded(makeStore) },
    named, make('button', { id: 'documents-make', class: 'kd-button', text: t('make') }));
  const main = make('section', { id: 'documents-store', 'aria-live': 'polite' });
  const viewer = make('dialog', { id: 'documents-viewer', class: 'kd-viewer kd-papers' });
  root.append(
    make('h1', { text: t('title') }), make('p', { class: 'kd-small', text: t('intro') }), trouble,
    make('div', { class: 'kd-documents' },
      make('aside', { 'aria-label': t('stores') }, make('h2', { text: t('stores') }), list, adding), main),
    viewer);
  document.body.append(viewer); // above Gradio's own layers
  viewer.addEventListener('click', (event) => { if (event.target === viewer) viewer.close(); });

  async function load(chosen) {
    const found = await ask('GET', 'stores');
    state.stores = found.stores;
    state.models = found.models;
    const wanted = chosen ?? state.store?.id ?? new URLSearchParams(location.search).get('store');
    state.store = state.stores.find((one) => one.id === wanted) ?? state.stores[0] ?? null;
    drawList();
    await drawStore();
  }

  async function makeStore() {
    const made = await ask('POST', 'stores', { name: named.value.trim() });
    named.value = '';
    await load(made.id);
  }

  function drawList() {
    list.replaceChildren(...state.stores.map((store) => make('li', {},
      make('button', {
        class: 'kd-store', 'aria-current': store.id === state.store?.id && 'true',
        onclick: guarded(() => load(store.id)),
      }, make('span', { text: store.name }),
      make('span', { class: 'kd-small', text: t('files_count', { count: store.files }) })))));
    if (!state.stores.length) list.append(make('li', { class: 'kd-small', text: t('no_stores') }));
  }

  // One store

  async function drawStore() {
    const store = state.store;
    const mine = ++round;
    if (!store) return main.replaceChildren();
    const address = new URL(location.href);
    address.searchParams.set('store', store.id);
    history.replaceState(history.state, '', address);
    const rows = make('ul', { id: 'documents-files' });
    main.replaceChildren(head(store), ...(store.mine ? [uploads(store, rows)] : []), rows, questions(store));
    await follow(store, rows, mine);
  }

  function head(store) {
    const title = make('h2', { text: store.name });
    if (!store.mine) return make('div', {}, title, make('p', { class: 'kd-small', text: t('read_only') }));
    const name = make('input', { maxlength: 200, required: true, value: store.name, 'aria-label': t('store_name') });
    const form = make('form', {
      class: 'kd-line', hidden: true,
      onsubmit: guarded(async () => {
        await ask('POST', `stores/${id(store.id)}`, { name: name.value.trim() });
        await load(store.id);
      }),
    }, name, make('button', { class: 'kd-button', text: t('save') }));
    const shared = make('input', {
      type: 'checkbox', id: 'documents-shared',
      onchange: guarded(() => ask('POST', `stores/${id(store.id)}`, { shared: shared.checked })),
    });
    shared.checked = store.shared;
    return make('div', {}, title, form, make('div', { class: 'kd-line' },
      make('button', {
        id: 'documents-rename', class: 'kd-button kd-quiet', type: 'button', text: t('rename'),
        onclick: () => { form.hidden = !form.hidden; if (!form.hidden) name.focus(); },
      }),
      make('button', {
        id: 'documents-delete', class: 'kd-button kd-quiet', type: 'button', text: t('delete'),
        onclick: guarded(async () => {
          if (!confirm(t('sure_store', { name: store.name }))) return;
          await ask('DELETE', `stores/${id(store.id)}`);
          state.store = null;
          await load('');
        }),
      }),
      make('label', { class: 'kd-check' }, shared, make('span', { text: t('share') }))));
  }

  function uploads(store, rows) {
    const input = make('input', {
      type: 'file', id: 'documents-upload', multiple: true, class: 'kd-hidden-input',
      onchange: () => { send([...input.files]); input.value = ''; },
    });
    const send = guarded(async (files) => {
      const mine = round;
      const lines = files.map((file) => [file, make('li', { class: 'kd-file' })]);
      rows.prepend(...lines.map(([, line]) => line));
      for (const [file, line] of lines) await upload(store, file, line);
      await follow(store, rows, mine);
    });
    const zone = make('label', {
      class: 'kd-drop',
      ondragover: (event) => { event.preventDefault(); zone.classList.add('kd-over'); },
      ondragleave: () => zone.classList.remove('kd-over'),
      ondrop: (event) => {
        event.preventDefault();
        zone.classList.remove('kd-over');
        send([...event.dataTransfer.files]);
      },
    }, input, make('strong', { text: t('upload') }), make('span', { class: 'kd-small', text: t('upload_hint') }));
    return zone;
  }

  async function upload(store, file, line) {
    const bar = make('progress', { max: 100, value: 0, 'aria-label': file.name });
    const note = make('span', { class: 'kd-small', text: t('uploading', { percent: 0 }) });
    line.append(make('span', { class: 'kd-file-name', text: file.name }), bar, note);
    const gone = (bytes) => {
      const percent = Math.min(100, Math.floor((100 * bytes) / (file.size || 1)));
      bar.value = percent;
      note.textContent = percent < 100 ? t('uploading', { percent }) : t('reading');
    };
    const path = `stores/${id(store.id)}`;
    try {
      if (file.size > PART) await sendParts(`${path}/uploads`, file, gone);
      else await sendForm(`${path}/files`, 'file', file, file.name, gone);
    } catch (error) {
      bar.remove();
      note.textContent = error.message;
      line.classList.add('kd-failed');
    }
  }

  async function sendParts(path, file, gone) {
    const begun = await ask('POST', path, { name: file.name, bytes: file.size });
    const mine = `${path}/${id(begun.id)}`;
    try {
      const parts = [];
      for (let at = 0; at < file.size; at += PART) {
        const part = file.slice(at, at + PART);
        parts.push((await sendForm(`${mine}/parts`, 'data', part, 'part', (bytes) => gone(at + Math.min(bytes, part.size)))).id);
      }
      await ask('POST', `${mine}/complete`, { name: file.name, parts });
    } catch (error) {
      await ask('DELETE', mine).catch(() => {}); // it would count as the key's for an hour
      throw error;
    }
  }

  // fetch() tells nothing of how far a body has gone; XMLHttpRequest does.
  const sendForm = (path, field, content, name, gone) => new Promise((done, refuse) => {
    const form = new FormData();
    form.append(field, content, name);
    const request = new XMLHttpRequest();
    request.open('POST', api + path);
    request.upload.onprogress = ({ loaded }) => gone(loaded);
    request.onerror = () => refuse(new Error(t('offline')));
    request.onload = () => {
      try { done(said(request.status, request.responseText)); } catch (error) { refuse(error); }
    };
    request.send(form);
  });

  async function follow(store, rows, mine) {
    for (let failures = 0; mine === round; ) {
      let files;
      try {
        ({ files } = await ask('GET', `stores/${id(store.id)}/files`));
        failures = 0;
      } catch (error) {
        if (++failures > 5) throw error;
        await later(700 * failures);
        continue;
      }
      if (mine !== round) return;
      store.files = files.length;
      drawList();
      const refused = [...rows.querySelectorAll('.kd-failed')].filter((line) => !line.dataset.file);
      rows.replaceChildren(...refused, ...files.map((file) => fileLine(store, file)));
      if (!files.length && !refused.length) rows.append(make('li', { class: 'kd-small', text: t('no_files') }));
      if (!files.some((file) => file.status === 'in_progress')) return;
      await later(700);
    }
  }

  function fileLine(store, file) {
    const words = { completed: 'ready', in_progress: 'reading' }[file.status] ?? 'failed';
    const note = file.error ? `${t(words)}: ${file.error}` : t(words);
    const name = file.status === 'completed'
      ? make('button', { class: 'kd-link', text: file.name, onclick: guarded(() => show(store, { file: file.id, filename: file.name })) })
      : make('span', { text: file.name });
    return make('li', { class: `kd-file kd-${words}`, 'data-file': file.id },
      make('span', { class: 'kd-file-name' }, name), make('span', { class: 'kd-small', text: note }),
      store.mine ? make('button', {
        class: 'kd-button kd-quiet', text: t('delete'), 'aria-label': `${t('delete')}: ${file.name}`,
        onclick: guarded(async () => {
          if (!confirm(t('sure_file', { name: file.name }))) return;
          await ask('DELETE', `stores/${id(store.id)}/files/${id(file.id)}`);
          await load(store.id);
        }),
      }) : null);
  }

  // Questions

  function questions(store) {
    const model = make('select', { id: 'documents-model', 'aria-label': t('model') },
      ...state.models.map((name) => make('option', { value: name, text: name })));
    const question = make('textarea', {
      id: 'documents-question', rows: 2, maxlength: 10000, required: true,
      placeholder: t('question_hint'), 'aria-label': t('question'),
    });
    const answers = make('div', { id: 'documents-answers' });
    const send = make('button', { id: 'documents-ask', class: 'kd-button kd-primary', text: t('ask') });
    const form = make('form', {
      class: 'kd-ask',
      onsubmit: guarded(async () => {
        const asked = question.value.trim();
        if (!asked) return;
        const body = make('p', { class: 'kd-answer', text: t('answering') });
        answers.prepend(make('article', { class: 'kd-card' }, make('p', { class: 'kd-asked', text: asked }), body));
        send.disabled = true;
        try {
          const given = { store: store.id, model: model.value, question: asked };
          const { pieces } = await ask('POST', 'ask', given);
          body.replaceChildren(...pieces.map((piece) => drawPiece(store, piece)));
          if (!pieces.length) body.textContent = t('empty_answer');
          question.value = '';
        } catch (error) {
          body.textContent = error.message;
          body.parentElement.classList.add('kd-failure');
        } finally {
          send.disabled = false;
        }
      }),
    }, question, make('div', { class: 'kd-line' }, model, send));
    question.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    const closed = state.models.length ? form : make('p', { class: 'kd-hint', text: t('no_model') });
    return make('div', {}, closed, answers);
  }

  function drawPiece(store, piece) {
    if (!piece.cite) return document.createTextNode(piece.text);
    const { number, filename, supported } = piece.cite;
    const label = [t('cite_label', { number, name: filename }), supported ? '' : t('unsupported'), doubt(piece.cite)]
      .filter(Boolean).join('. ');
    return make('button', {
      class: `kd-cite${supported ? '' : ' kd-doubtful'}`, text: `[${number}]`, title: label, 'aria-label': label,
      onclick: guarded(() => show(store, piece.cite)),
    });
  }

  // The page that an answer rests on

  const doubt = ({ problem, confidence }) => {
    if (confidence != null) return t('recognised', { confidence });
    return problem ? t('doubtful', { problem }) : '';
  };

  async function show(store, cite) {
    const asked = new URLSearchParams();
    for (const name of ['page', 'start', 'end', 'quote']) {
      if (cite[name] != null && cite[name] !== '') asked.set(name, cite[name]);
    }
    const found = await ask('GET', `stores/${id(store.id)}/files/${id(cite.file)}/passage?${asked}`);
    const mark = found.quote ? make('mark', { text: found.quote }) : null;
    const turn = (by, key) => make('button', {
      class: 'kd-button kd-quiet', type: 'button', text: t(key),
      disabled: found.page + by < 1 || found.page + by > found.pages,
      onclick: guarded(() => show(store, { file: cite.file, filename: cite.filename, page: found.page + by })),
    });
    const many = found.pages > 1;
    viewer.replaceChildren(...[
      make('header', { class: 'kd-line' }, make('strong', { text: cite.filename }),
        many ? make('span', { class: 'kd-small', text: t('page', found) }) : null,
        make('button', { id: 'documents-close', class: 'kd-button kd-quiet', text: t('close'), onclick: () => viewer.close() })),
      doubt(found) ? make('p', { class: 'kd-hint', text: doubt(found) }) : null,
      make('div', { class: 'kd-paper', tabindex: 0 }, found.before, mark, found.after),
      many ? make('footer', { class: 'kd-line' }, turn(-1, 'previous'), turn(1, 'next')) : null,
    ].filter(Boolean));
    if (!viewer.open) viewer.showModal();
    mark?.scrollIntoView({ block: 'center' });
  }

  guarded(() => load())();
}
