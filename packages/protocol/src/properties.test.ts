/** The property block as text: searching it in place agrees with decoding it, whatever it holds. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { ProtocolError } from './errors.ts'
import {
  appendProperties,
  decodeProperties,
  encodeProperties,
  getProperty,
  hasProperty,
  removeProperty,
  setProperty,
} from './properties.ts'

/** Few letters and many separators, so that names repeat, end others and stand in values. */
const block = fc
  .array(fc.constantFrom('a', 'b', 'ab', 'ba', '\x01', '\x02', 'é'), { maxLength: 20 })
  .map((p) => p.join(''))
const name = fc.constantFrom('a', 'b', 'ab', 'aa', 'aba', '')
const value = fc.constantFrom('1', 'a', 'ab', 'x\x01y')

it('finds a value in the text exactly when the decoded block has it', () => {
  fc.assert(
    fc.property(block, name, (text, wanted) => {
      expect(getProperty(text, wanted)).toBe(decodeProperties(text).get(wanted))
      expect(hasProperty(text, wanted)).toBe(decodeProperties(text).has(wanted))
    }),
    { numRuns: 3000 },
  )
})

it('sets one property and changes no other', () => {
  fc.assert(
    fc.property(block, name, value, (text, changed, to) => {
      fc.pre(changed !== '')
      const expected = decodeProperties(text)
      expected.delete(changed)
      expected.set(changed, to)
      expect(sorted(decodeProperties(setProperty(text, changed, to)))).toEqual(sorted(expected))
    }),
    { numRuns: 3000 },
  )
})

it('removes one property and changes no other', () => {
  fc.assert(
    fc.property(block, name, (text, removed) => {
      const expected = decodeProperties(text)
      expected.delete(removed)
      expect(sorted(decodeProperties(removeProperty(text, removed)))).toEqual(sorted(expected))
    }),
    { numRuns: 3000 },
  )
})

it('removes thousands of one name as fast as it reads them', () => {
  const block = 'A\x01some text\x02POP_CK\x01v\x02'.repeat(1_500)
  for (let i = 0; i < 10_000; i++) expect(removeProperty(block, 'POP_CK')).toHaveLength(12 * 1_500)
})

it('reads what it wrote', () => {
  const pairs = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[A-Z_]{1,9}$/), fc.string({ minLength: 1 })), {
    selector: ([key]) => key,
  })
  fc.assert(
    fc.property(pairs, (given) => {
      const clean = given.filter(([, text]) => !text.includes('\x02'))
      expect([...decodeProperties(encodeProperties(clean))]).toEqual(clean)
    }),
  )
})

it('closes an open block when another is appended', () => {
  expect(appendProperties('a\x011', 'b\x012\x02')).toBe('a\x011\x02b\x012\x02')
  expect(appendProperties('a\x011\x02', 'b\x012')).toBe('a\x011\x02b\x012')
  expect(appendProperties('', 'b\x012')).toBe('b\x012')
  expect(appendProperties('a\x011', '')).toBe('a\x011')
})

it.each([
  ['', '1'],
  ['a\x01', '1'],
  ['a\x02', '1'],
  ['a', '1\x02b\x012'],
])('refuses the name %j with the value %j', (badName, badValue) => {
  expect(() => setProperty('', badName, badValue)).toThrow(ProtocolError)
})

function sorted(properties: Map<string, string>): [string, string][] {
  return [...properties].sort(([a], [b]) => (a < b ? -1 : 1))
}
