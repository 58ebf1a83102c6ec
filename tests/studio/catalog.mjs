// What a Studio's pages read when they open: lists, and one of each thing by id and by name.

import { library } from './page.mjs'

const variants = [{}, { includedSchemas: ['public'] }, { excludedSchemas: ['public'], limit: 5, offset: 1 }]
const odd = { includedSchemas: ['Odd Schema', 'naïve ☃', 'select'] }

export default async function catalog() {
  const studio = await library()
  const found = {}
  for (const [name, lists] of Object.entries({
    schemas: [{}, { limit: 3, offset: 1 }, { includeSystemSchemas: true }],
    tables: [...variants, odd, { includeColumns: false }],
    columns: [...variants, odd],
    views: [...variants, { includeColumns: false }],
    materializedViews: variants,
    foreignTables: [...variants, { includeColumns: false }],
    functions: [...variants, { includeSystemSchemas: true, includedSchemas: ['pg_catalog'], limit: 50 }],
    indexes: variants,
    triggers: variants,
    policies: [...variants, odd],
    types: [...variants, { includeArrayTypes: true, includeTableTypes: true, includedSchemas: ['shop'] }],
    tablePrivileges: [...variants, odd],
    columnPrivileges: [...variants, odd],
    relationships: [{}, { includedSchemas: ['shop'] }],
    roles: [{}, { includeDefaultRoles: true }, { limit: 2, offset: 1 }],
    publications: [{}, { limit: 1, offset: 1 }],
    extensions: [{}, { limit: 3 }],
    config: [{ limit: 20 }],
  })) {
    for (const [index, options] of lists.entries()) {
      const { data } = await studio[name].list(options)
      if (index === 0) found[name] = data ?? []
    }
  }
  await studio.version.retrieve()
  for (const name of ['schemas', 'tables', 'views', 'materializedViews', 'foreignTables', 'policies', 'triggers',
    'publications', 'roles', 'extensions', 'tablePrivileges', 'functions', 'indexes']) {
    const things = found[name]
    // The first is an ordinary one, the last has a name that must be quoted in most lists.
    for (const thing of [things[0], things[things.length - 1], { id: 1, name: 'no such thing', schema: 'public' }]) {
      if (!thing) continue
      const { id, schema, table } = thing
      if (id !== undefined || thing.relation_id) await studio[name].retrieve({ id: id ?? thing.relation_id })
      if (name === 'indexes' || name === 'functions') continue
      await studio[name].retrieve({ name: thing.name, schema, table })
    }
  }
  await studio.functions.retrieve({ name: 'add', schema: 'public', args: ['integer', 'integer'] })
  await studio.functions.retrieve({ name: 'add', schema: 'public', args: ['nothing'] })
  for (const { id, name } of found.tables.slice(0, 5)) {
    await studio.columns.list({ tableId: id })
    await studio.columns.retrieve({ id: `${id}.1` })
    await studio.columns.retrieve({ table: name, schema: 'public', name: 'id' })
  }
}
