/** Lines of settings as Java's Properties reads them. */
import { expect, test } from 'vitest'
import { decodeProperties } from './properties.ts'

const read = (text: string) => Object.fromEntries(decodeProperties(Buffer.from(text)))

test.each([
  ['a=1\nb=2\n', { a: '1', b: '2' }],
  ['a = 1\r\n  b:2\rc 3', { a: '1', b: '2', c: '3' }],
  ['# a=1\n!b=2\n\n   \nc=x=y:z', { c: 'x=y:z' }],
  ['a=1\na=2', { a: '2' }],
  ['a=\nb', { a: '', b: '' }],
  ['path=C:\\\\x\nk\\=ey=v\\u0041\\t|', { path: 'C:\\x', 'k=ey': 'vA\t|' }],
  ['a=one,\\\n   two\nb=3\\\\\nc=4', { a: 'one,two', b: '3\\', c: '4' }],
  ['deleteWhen=04;16', { deleteWhen: '04;16' }],
  ['', {}],
])('%j', (text, values) => {
  expect(read(text)).toEqual(values)
})
