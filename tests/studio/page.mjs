// What a Studio's data layer sends. Each answer is printed as a line of JSON.

const base = process.env.STUDIO_BASE
const token = process.env.STUDIO_TOKEN

// Every call has these, whether or not it names a connection.
const headers = {
  accept: 'application/json',
  'x-connection-encrypted': '',
  'x-pg-application-name': 'supabase/dashboard',
  ...(token ? { authorization: `Bearer ${token}` } : {}),
}

async function ask(method, path, body) {
  const answer = await fetch(`${base}${path}`, {
    method,
    headers: body ? { ...headers, 'content-type': 'application/json' } : headers,
    body: body && JSON.stringify(body),
  })
  const text = await answer.text()
  let payload = text
  try {
    payload = JSON.parse(text)
  } catch {
    // Then the text is compared.
  }
  const sent = body && { ...body, query: body.query.slice(0, 1000) }
  // The text, because JavaScript would round numbers of the payload.
  console.log(JSON.stringify({ method, path, sent, status: answer.status, text }))
  return { status: answer.status, payload }
}

/** `POST /query`, with a key that tells statements apart in a browser's list of requests. */
export async function query(key, sql, more = {}) {
  const path = `/query?key=${encodeURIComponent(key)}`
  return ask('POST', path, { query: sql, disable_statement_timeout: false, ...more })
}

/** `GET` of a list. */
export async function get(path, key) {
  return ask('GET', `${path}${path.includes('?') ? '&' : '?'}key=${key}`)
}

/** A class of postgres-meta's library whose statements go through `query`. */
export function through(Resource, name) {
  let step = ''
  const resource = new Resource(async (sql) => {
    const { status, payload } = await query(`${name}-${step}`, sql)
    return status === 200 ? { data: payload, error: null } : { data: null, error: payload }
  })
  return new Proxy(resource, {
    get: (target, method) => async (...values) => {
      step = method
      return target[method](...values)
    },
  })
}

/** All of the library's classes, by the names of their resources. */
export async function library() {
  const names = ['ColumnPrivileges', 'Columns', 'Config', 'Extensions', 'ForeignTables', 'Functions', 'Indexes',
    'MaterializedViews', 'Policies', 'Publications', 'Relationships', 'Roles', 'Schemas', 'TablePrivileges', 'Tables',
    'Triggers', 'Types', 'Version', 'Views']
  const loaded = {}
  for (const name of names) {
    const { default: Resource } = await import(`${process.env.STUDIO_LIBRARY}/PostgresMeta${name}.js`)
    loaded[name[0].toLowerCase() + name.slice(1)] = through(Resource, name)
  }
  return loaded
}
