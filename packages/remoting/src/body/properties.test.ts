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
  ['a=b\u2028c\nk\\\u2029=\\\u2028v', { a: 'b\u2028c', 'k\u2029': 'v' }],
  ['deleteWhen=04;16', { deleteWhen: '04;16' }],
  ['', {}],
])('%j', (text, values) => {
  expect(read(text)).toEqual(values)
})

test('many spaces take no longer than other text, whatever follows them', () => {
  expect(read(`a${' '.repeat(60_000)}\u2028`)).toEqual({ a: '' })
  expect(read(`a${' '.repeat(60_000)}\u2029b`)).toEqual({ a: 'b' })
})

test('more than anybody changes at once is refused', () => {
  expect(read(`a=${'b'.repeat(65_534)}`)['a']).toHaveLength(65_534)
  expect(() => read(`a=${'b'.repeat(65_535)}`)).toThrow('bad body: settings of 65537 bytes, at most 65536 are taken')
})
