/**
 * Random expressions and properties, half of them well-formed and half with words lost, doubled or strange, so that what is refused is
 * compared as well as what is evaluated. The same for the same seed.
 */
import fc from 'fast-check'

export interface FilterCase {
  readonly expression: string
  /** A message's property block. */
  readonly properties: string
}

const NAMES = ['a', 'b', 'c', 'TAGS', '$x', 'missing']
const NUMBERS =
  '0 1 5 7 42 2147483647 2147483648 9223372036854775807 9223372036854775808 5L 7l 1.5 5.0 5. .5 1e3 5E-1 0.0 1e400 1e-400 007 9007199254740993'
const TEXTS = ["'5'", "'abc'", "'a''b'", "'true'", "''", "'1.5'", "'ab'", "'值'", "'NaN'"]
const VALUES =
  "0 5 -5 +5 007 7 1.5 5.0 5. .5 1e3 abc ab a'b true TRUE false 值 NaN Infinity -Infinity 2147483647 2147483648 -2147483648 9223372036854775807 " +
  '9223372036854775808 9007199254740993 9007199254740992 5L 5d 5f 1.5D NaNd 0x10 0x1p3 -0x1.8p1 0x.8p0 -0 0.0 -0.0 1e400 1e-400 ٥ ١٢ １ 𝟏 . + - e5 1_000'
const STRANGE =
  '\' ; -- /* */ /**/ != == % . LIKE ESCAPE 0x5 ١ 值 "x" \\ \u00a0 , ( ) NOT AND OR IS NULL TRUE 5 a + - = < >='
    .split(' ')
    .concat('-- c\n', '\t')

const name = fc.constantFrom(...NAMES)
const number = fc.constantFrom(...NUMBERS.split(' '))
const text = fc.constantFrom(...TEXTS)
const order = fc.constantFrom('<', '<=', '>', '>=')
const equality = fc.constantFrom('=', '<>')
const not = fc.constantFrom([], [], ['NOT'])

const words: fc.Arbitrary<string[]> = fc.letrec<{ or: string[]; test: string[]; operand: string[]; signed: string[] }>(
  (tie) => ({
    signed: fc.tuple(fc.constantFrom([], [], ['-'], ['+'], ['-', '-']), number).map(([sign, of]) => [...sign, of]),
    operand: fc.oneof(
      { weight: 5, arbitrary: name.map((one) => [one]) },
      { weight: 3, arbitrary: tie('signed') },
      { weight: 2, arbitrary: text.map((one) => [one]) },
      {
        weight: 1,
        arbitrary: fc.constantFrom<string[]>(['TRUE'], ['FALSE'], ['NULL'], ['-', 'a'], ['(', 'a', ')'], ['NOT', 'a']),
      },
      { weight: 1, arbitrary: tie('test').map((inside) => ['(', ...inside, ')']) },
    ),
    test: fc.oneof(
      { maxDepth: 3, depthIdentifier: 'test' },
      fc.tuple(tie('operand'), fc.oneof(order, equality), tie('operand')).map(([l, by, r]) => [...l, by, ...r]),
      fc.tuple(name, order, tie('signed')).map(([l, by, r]) => [l, by, ...r]),
      fc.tuple(tie('operand'), not).map(([of, negated]) => [...of, 'IS', ...negated, 'NULL']),
      fc
        .tuple(tie('operand'), not, fc.constantFrom('CONTAINS', 'STARTSWITH', 'ENDSWITH'), text)
        .map(([of, negated, by, searched]) => [...of, ...negated, by, searched]),
      fc
        .tuple(name, not, fc.array(text, { minLength: 1, maxLength: 6 }))
        .map(([of, negated, all]) => [of, ...negated, 'IN', '(', ...all.flatMap((one) => [',', one]).slice(1), ')']),
      fc
        .tuple(tie('operand'), not, tie('signed'), tie('signed'))
        .map(([of, negated, low, high]) => [...of, ...negated, 'BETWEEN', ...low, 'AND', ...high]),
      tie('or').map((inside) => ['(', ...inside, ')']),
      fc.tuple(equality, tie('test'), tie('operand')).map(([by, l, r]) => [...l, by, ...r]),
      tie('test').map((inside) => ['NOT', ...inside]),
      name.map((one) => [one]),
    ),
    or: fc
      .tuple(tie('test'), fc.array(fc.tuple(fc.constantFrom('AND', 'OR'), tie('test')), { maxLength: 3 }))
      .map(([first, more]) => [...first, ...more.flat(2)]),
  }),
).or

/** Replaces, removes or adds a few words. */
const changes = fc.array(
  fc.record({ at: fc.nat(200), word: fc.constantFrom(...STRANGE), removed: fc.constantFrom(0, 1, 1, 2) }),
  { maxLength: 2 },
)
const separator = fc.constantFrom(' ', ' ', ' ', '', '  ', '\n', ' /* - */ ')
const capitals = fc.constantFrom<(text: string) => string>(
  (all) => all,
  (all) => all,
  (all) => all.replace(/NOT|AND|OR|IN|IS|NULL|TRUE|CONTAINS/g, (word) => word.toLowerCase()),
)

const filterCase: fc.Arbitrary<FilterCase> = fc
  .record({
    words,
    changes: fc.oneof(fc.constant([]), changes),
    separator,
    capitals,
    values: fc.dictionary(
      fc.constantFrom(...NAMES.slice(0, -1)),
      fc.constantFrom(...VALUES.split(' '), ' 5', '5 ', '\t1.5 '),
    ),
  })
  .map((made) => {
    const all = [...made.words]
    for (const { at, word, removed } of made.changes) all.splice(at % (all.length + 1), removed, word)
    return {
      expression: made.capitals(all.join(made.separator)),
      properties: Object.entries(made.values)
        .map(([key, value]) => `${key}\x01${value}\x02`)
        .join(''),
    }
  })

export function filterCases(seed: number, count: number): FilterCase[] {
  return fc.sample(filterCase, { seed, numRuns: count })
}
