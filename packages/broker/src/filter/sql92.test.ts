/** SQL92 expressions: what Apache's own filter module said of each, and hostile ones. */
import { readFileSync } from 'node:fs'
import { encodeProperties } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ExpressionError } from './expression-error.ts'
import { EXPRESSION_CHARS_MAX, EXPRESSION_DEPTH_MAX, EXPRESSION_TESTS_MAX } from './parser.ts'
import { type Outcome, Sql92 } from './sql92.ts'

interface Row {
  readonly expression: string
  readonly value?: boolean | null
  readonly compileError?: string
  readonly evaluationError?: string
}
const vectors = JSON.parse(readFileSync(new URL('../../../../test/vectors/sql92.json', import.meta.url), 'utf8')) as {
  properties: Record<string, string>
  rows: Row[]
}
const block = encodeProperties(Object.entries(vectors.properties))

function outcomeOf(expression: string, properties = block): Outcome | 'refused' {
  let compiled: Sql92
  try {
    compiled = new Sql92(expression)
  } catch (error) {
    if (error instanceof ExpressionError) return 'refused'
    throw error
  }
  return compiled.evaluate(properties)
}

function expected({ value, compileError, evaluationError }: Row): Outcome | 'refused' {
  if (compileError !== undefined) return 'refused'
  return evaluationError === undefined ? (value ?? null) : 'error'
}

it.each(vectors.rows.map((row) => [row.expression, expected(row)] as const))(
  'says of `%s` what Apache says: %s',
  (expression, outcome) => {
    expect(outcomeOf(expression)).toBe(outcome)
  },
)

describe('what Apache says, by its sources', () => {
  const properties = encodeProperties([
    ['nan', 'NaN'],
    ['hex', '0x1.8p1'],
    ['spaced', ' 1.5d '],
    ['zero', '0'],
    ['minus', '-0'],
    ['plus', '+5'],
    ['arabic', '٥'],
  ])
  it.each<[string, Outcome | 'refused']>([
    ['missing = other', true],
    ['missing <> other', false],
    ['5 = missing', false],
    ['missing = 5', null],
    ['nan > 1.5', true],
    ['hex = 3.5', false],
    ['hex = 3e0', true],
    ['spaced = 1.5', true],
    ['spaced = 1', 'error'],
    ['zero > minus', true],
    ['zero = minus', false],
    ['plus = 5', true],
    ['arabic = 5', true],
    ['arabic = 5.0', 'error'],
    ['zero < 0.0', 'refused'],
    ['zero < 1e999', 'refused'],
    ['5 = TRUE', false],
    ['TRUE = 5', 'refused'],
    ['TRUE = TRUE', true],
    ['zero < -TRUE', null],
    ['-zero', 'refused'],
    ['zero > 1 OR TRUE', true],
    ['nan > 1 OR TRUE', 'error'],
    ['TRUE OR nan > 1', true],
    ["(zero) IN ('0')", true],
    ["'a' IN ('a')", 'refused'],
    ['007 = 7', 'refused'],
    ['zero = 007', true],
    ['zero = 0 trailing ; words', true],
    ['zero = 0 ; words', 'refused'],
    ['zero = 0 -- to the\n AND FALSE', false],
    ['zero NOT 0', 'refused'],
    ['zero = -9223372036854775808', 'refused'],
  ])('%s: %s', (expression, outcome) => {
    expect(outcomeOf(expression, properties)).toBe(outcome)
  })
})

describe('a hostile expression', () => {
  it.each([
    ['too long', `a = '${'x'.repeat(EXPRESSION_CHARS_MAX)}'`],
    ['too deep in parentheses', `${'('.repeat(EXPRESSION_DEPTH_MAX + 1)}a${')'.repeat(EXPRESSION_DEPTH_MAX + 1)}`],
    ['too deep in signs', `a = ${'- '.repeat(EXPRESSION_DEPTH_MAX + 1)}1`],
    ['too deep in NOT', `${'NOT '.repeat(EXPRESSION_DEPTH_MAX + 1)}a`],
    ['too deep to the left', `a${' IS NULL'.repeat(EXPRESSION_DEPTH_MAX + 1)}`],
    ['of too many comparisons', Array.from({ length: EXPRESSION_TESTS_MAX + 1 }, () => 'a=1').join(' OR ')],
    ['never closed', `a = '${"''".repeat(30_000)}`],
    ['a comment without an end', `/*${'*'.repeat(60_000)}`],
    ['not closed', '('.repeat(60_000)],
  ])('that is %s is refused with a sentence', (_what, expression) => {
    expect(() => new Sql92(expression)).toThrow(ExpressionError)
  })

  it('at each limit is compiled and evaluated', () => {
    const deep = '('.repeat(EXPRESSION_DEPTH_MAX - 2) + 'b IS NULL' + ')'.repeat(EXPRESSION_DEPTH_MAX - 2)
    expect(outcomeOf(deep)).toBe(false)
    const many = Array.from({ length: EXPRESSION_TESTS_MAX }, () => 'a=6').join(' OR ')
    expect(outcomeOf(many)).toBe(false)
    expect(outcomeOf(`a IN (${Array.from({ length: 8_000 }, (_, i) => `'${i + 1}'`).join(',')})`)).toBe(true)
  })

  it('of any characters is compiled or refused, and evaluates to nothing else than an outcome', () => {
    const words = fc.constantFrom(
      ..."a b f missing 5 1.5 5L '5' ' TRUE NULL NOT AND OR IN IS BETWEEN CONTAINS STARTSWITH ENDSWITH".split(' '),
      ...'( ) , = <> < >= + - -- /* */ ; ٥'.split(' '),
      '\n',
    )
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(words, { maxLength: 60 }).map((all) => all.join(' ')),
    )
    fc.assert(
      fc.property(texts, (expression) => {
        expect([true, false, null, 'error', 'refused']).toContain(outcomeOf(expression))
      }),
      { numRuns: 5_000 },
    )
  })
})
