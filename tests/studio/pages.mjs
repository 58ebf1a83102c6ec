// The lists that a Studio does not ask for in SQL.

import { get } from './page.mjs'

export default async function pages() {
  for (const [path, key] of [
    ['/tables?include_columns=true&included_schemas=public', 'tables-public'],
    ['/tables?include_columns=false&included_schemas=shop', 'tables-shop'],
    ['/tables?include_columns=true&included_schemas=public,shop&excluded_schemas=shop', 'tables'],
    ['/views?included_schemas=', 'views'],
    ['/views?included_schemas=public', 'views-public'],
    ['/views?include_columns=false', 'views-names'],
    ['/materialized-views?included_schemas=public&include_columns=true', 'materialized-views'],
    ['/foreign-tables?include_columns=true', 'foreign-tables'],
    ['/types', 'types'],
    ['/types?included_schemas=public', 'types-public'],
    ['/policies', 'policies'],
    ['/policies?included_schemas=public&excluded_schemas=', 'policies-public'],
    ['/publications', 'publications'],
    ['/triggers', 'triggers'],
    ['/column-privileges', 'column-privileges'],
    ['/column-privileges?included_schemas=public', 'column-privileges-public'],
    ['/table-privileges', 'table-privileges'],
    ['/extensions', 'extensions'],
    ['/schemas', 'schemas'],
    ['/roles', 'roles'],
    ['/functions?included_schemas=public', 'functions'],
    ['/indexes', 'indexes'],
    ['/columns?included_schemas=public', 'columns'],
  ]) {
    await get(path, key)
  }
}
