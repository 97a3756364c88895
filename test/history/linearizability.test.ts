/** The checker of registers, checked: good histories pass, bad ones fail, and small ones are judged as the definition does. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isLinearizableByDefinition } from './brute-force.ts'
import { checkLinearizable, smallestPart } from './linearizability.ts'
import { goodHistories, MUTATIONS } from './register-arbitraries.ts'
import { checkRegisters, type RegisterInput, registerModel, type RegisterOperation } from './register.ts'

const RUNS = 500

const row = (
  input: RegisterInput,
  output: RegisterOperation['output'],
  invokedAt: number,
  answeredAt = Number.POSITIVE_INFINITY,
): RegisterOperation => ({ input, output, invokedAt, answeredAt })
const write = (value: string, from: number, to?: number): RegisterOperation =>
  row({ kind: 'write', key: 'k', value }, to === undefined ? undefined : { kind: 'write' }, from, to)
const read = (value: string | null, from: number, to: number): RegisterOperation =>
  row({ kind: 'read', key: 'k' }, { kind: 'read', value }, from, to)
const cas = (expected: string | null, value: string, swapped: boolean, from: number, to: number): RegisterOperation =>
  row({ kind: 'cas', key: 'k', expected, value }, { kind: 'cas', swapped }, from, to)

describe('a register', () => {
  test.each<[string, readonly RegisterOperation[], boolean]>([
    ['that nobody used is linearizable', [], true],
    ['is empty before it is written', [read(null, 1, 2), write('a', 3, 4)], true],
    ['may be read while it is written, before or after', [write('a', 1, 9), read(null, 2, 3), read('a', 4, 5)], true],
    ['does not go back within one write', [write('a', 1, 9), read('a', 2, 3), read(null, 4, 5)], false],
    [
      'may take a write of unknown outcome at any later time',
      [write('a', 1), read(null, 5, 6), read('a', 50, 51)],
      true,
    ],
    [
      'takes a write of unknown outcome once',
      [write('a', 1), write('b', 5, 6), read('a', 7, 8), write('c', 9, 10), read('a', 11, 12)],
      false,
    ],
    ['may never take a write of unknown outcome', [write('a', 1), read(null, 50, 51)], true],
    ['is not read from the past', [write('a', 1, 2), write('b', 3, 4), read('a', 5, 6)], false],
    ['is set from a value once', [cas(null, 'a', true, 1, 4), cas(null, 'b', true, 1, 4)], false],
    ['refuses one of two sets', [cas(null, 'a', true, 1, 4), cas(null, 'b', false, 1, 4)], true],
    ['is one thing for operations that touch at a moment', [write('a', 1, 2), read(null, 2, 3)], true],
  ])('%s', (_, history, isGood) => {
    expect(checkLinearizable(registerModel, history)).toBe(isGood ? 'linearizable' : 'not linearizable')
    expect(isLinearizableByDefinition(registerModel, history)).toBe(isGood)
  })

  test('is judged apart from others, and what is shown is small', () => {
    const other = (operation: RegisterOperation): RegisterOperation => ({
      ...operation,
      input: { ...operation.input, key: 'other' },
    })
    const bad = [
      write('a', 1, 2),
      read('a', 3, 4),
      read('a', 3, 4),
      write('b', 5, 6),
      read('a', 7, 8),
      write('c', 9, 10),
    ]
    const violations = checkRegisters([...bad, other(write('x', 1, 2)), other(read('x', 3, 4))])
    expect(violations).toEqual([
      'register k is not linearizable:\n  1 – 2  write a -> done\n  5 – 6  write b -> done\n  7 – 8  read -> a',
    ])
  })

  test('is undecided at the limit of steps, never guessed', () => {
    const writes = Array.from({ length: 12 }, (_, i) => write(`v${i}`, 1, 9))
    const hard = [...writes, read('from nowhere', 10, 11)]
    expect(checkLinearizable(registerModel, hard, 1000)).toBe('undecided')
    expect(checkRegisters(hard, 1000)).toEqual(['register k: undecided, the search was given up'])
    expect(checkLinearizable(registerModel, hard)).toBe('not linearizable')
  })

  test('is judged within a second over a thousand operations with some open ones', () => {
    const history = Array.from({ length: 1000 }, (_, i) =>
      i % 100 === 99
        ? write(`lost${i}`, i * 10)
        : i % 2 === 0
          ? write(`v${i}`, i * 10, i * 10 + 25)
          : read(`v${i - 1}`, i * 10 + 16, i * 10 + 18),
    )
    const startedMs = performance.now()
    expect(checkLinearizable(registerModel, history)).toBe('linearizable')
    expect(performance.now() - startedMs).toBeLessThan(1_000)
  })
})

describe('histories made good', () => {
  test('pass', () => {
    fc.assert(
      fc.property(goodHistories(60), (history) => {
        expect(checkRegisters(history)).toEqual([])
      }),
      { numRuns: RUNS },
    )
  })

  test('small ones, with any answer changed, are judged as the definition does', () => {
    const judged = { good: 0, bad: 0 }
    fc.assert(
      fc.property(goodHistories(7), fc.nat(6), fc.nat(6), (history, which, value) => {
        const changed = history.map((operation, i) =>
          i === which && operation.output?.kind === 'read'
            ? { ...operation, output: { kind: 'read' as const, value: value === 0 ? null : `v${value}` } }
            : i === which && operation.output?.kind === 'cas'
              ? { ...operation, output: { kind: 'cas' as const, swapped: !operation.output.swapped } }
              : operation,
        )
        const isGood = isLinearizableByDefinition(registerModel, changed)
        judged[isGood ? 'good' : 'bad']++
        expect(checkLinearizable(registerModel, changed)).toBe(isGood ? 'linearizable' : 'not linearizable')
        // Whatever is shown of a bad one is bad by definition, too.
        if (!isGood) expect(isLinearizableByDefinition(registerModel, smallestPart(registerModel, changed))).toBe(false)
      }),
      { numRuns: 5 * RUNS },
    )
    expect(judged.good).toBeGreaterThan(RUNS)
    expect(judged.bad).toBeGreaterThan(RUNS / 5)
  })
})

describe('histories made bad', () => {
  test.each(Object.keys(MUTATIONS))('by %s fail', (name) => {
    fc.assert(
      fc.property(goodHistories(40), fc.nat(), (history, pick) => {
        const bad = (MUTATIONS[name] as (typeof MUTATIONS)[string])(history, pick)
        expect(checkLinearizable(registerModel, bad)).toBe('not linearizable')
      }),
      { numRuns: RUNS },
    )
  })
})
