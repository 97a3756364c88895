import { expect, test } from 'vitest'
import { parseProperties } from './properties-file.ts'

test('keys, values, comments and escapes as Java reads them', () => {
  const { values, warnings } = parseProperties('# c\na=b\n ! d\nc : d e\npath=C\\:\\\\x\nempty=\n', 'f')
  expect(values).toEqual({ a: 'b', c: 'd e', path: 'C:\\x', empty: '' })
  expect(warnings).toEqual([])
})

test('a key given twice and a # inside a value are warnings', () => {
  const { values, warnings } = parseProperties('a=1\na=2 # two\n', 'f')
  expect(values).toEqual({ a: '2 # two' })
  expect(warnings).toHaveLength(2)
  expect(warnings[0]).toMatch(/^f: a is given twice/)
})

test('passwords are in no warning', () => {
  const line = 'initAuthenticationUser={"password":"the #1 secret #"}\n'
  const { warnings } = parseProperties(line + line, 'broker.conf')
  expect(warnings).toHaveLength(3)
  expect(warnings.join()).not.toContain('secret')
})
