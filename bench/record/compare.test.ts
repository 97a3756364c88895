import { describe, expect, test } from 'vitest'
import { compare, isWorse, type Verdict } from './compare.ts'
import { COUNTER_NAMES, type Counter, type Counts, overRounds, type RecordFile } from './counters.ts'

const NOTHING = Object.fromEntries(COUNTER_NAMES.map((counter) => [counter, 100])) as Counts

function recordOf(rounds: readonly Partial<Counts>[], changed: Partial<RecordFile> = {}): RecordFile {
  return {
    date: '2026-01-01',
    machine: { cpu: 'one', cores: 2, memoryGiB: 24, kernel: '6' },
    node: 'v20.20.2',
    yardstickMicros: 1_000,
    load: { messages: 1_000, size: 1_024, rounds: rounds.length },
    loads: { sends: { leader: overRounds(rounds.map((round) => ({ ...NOTHING, ...round }))) } },
    ...changed,
  }
}

function verdicts(last: RecordFile, now: RecordFile): Partial<Record<Counter, Verdict>> {
  return Object.fromEntries(compare(last, now).map(({ counter, verdict }) => [counter, verdict]))
}

describe('a record beside the last one', () => {
  const last = recordOf([{ heapBytes: 2_000, mainCpu: 10, ioCalls: 0.01 }])
  const rows: { name: string; rounds: Partial<Counts>[]; counter: Counter; expected: Verdict }[] = [
    {
      name: 'within its tolerance is the same',
      rounds: [{ heapBytes: 2_099 }],
      counter: 'heapBytes',
      expected: 'same',
    },
    { name: 'beyond its tolerance is worse', rounds: [{ heapBytes: 2_101 }], counter: 'heapBytes', expected: 'worse' },
    { name: 'far below is better', rounds: [{ heapBytes: 1_500 }], counter: 'heapBytes', expected: 'better' },
    {
      name: 'one round that was spared keeps noise from being worse',
      rounds: [{ mainCpu: 11 }, { mainCpu: 30 }, { mainCpu: 40 }],
      counter: 'mainCpu',
      expected: 'same',
    },
    {
      name: 'one good round among others is not better',
      rounds: [{ mainCpu: 5 }, { mainCpu: 10 }, { mainCpu: 11 }],
      counter: 'mainCpu',
      expected: 'same',
    },
    {
      name: 'a large share of next to nothing is the same',
      rounds: [{ ioCalls: 0.02 }],
      counter: 'ioCalls',
      expected: 'same',
    },
  ]
  test.each(rows)('$name', ({ rounds, counter, expected }) => {
    expect(
      verdicts(last, recordOf(rounds.map((round) => ({ heapBytes: 2_000, mainCpu: 10, ioCalls: 0.01, ...round })))),
    ).toMatchObject({
      [counter]: expected,
    })
  })

  test('CPU of another machine or another Node.js is not compared, and allocations are', () => {
    const slow = [{ heapBytes: 9_000, mainCpu: 90 }]
    const machine = { ...last.machine, cpu: 'another' }
    for (const changed of [{ machine }, { node: 'v24.1.0' }]) {
      expect(verdicts(last, recordOf(slow, changed))).toMatchObject({ mainCpu: 'not compared', heapBytes: 'worse' })
    }
    expect(verdicts(last, recordOf(slow, { node: 'v20.21.0' }))).toMatchObject({ mainCpu: 'worse' })
  })

  test('CPU is compared in units of the yardstick, the rest is not', () => {
    const twice = { yardstickMicros: 2_000 }
    expect(verdicts(last, recordOf([{ heapBytes: 2_000, mainCpu: 20 }], twice))).toMatchObject({ mainCpu: 'same' })
    expect(verdicts(last, recordOf([{ heapBytes: 2_000, mainCpu: 26 }], twice))).toMatchObject({ mainCpu: 'worse' })
    expect(verdicts(last, recordOf([{ heapBytes: 4_000, mainCpu: 10 }], twice))).toMatchObject({
      mainCpu: 'better',
      heapBytes: 'worse',
    })
  })

  test('nothing of another load is compared', () => {
    const found = compare(last, recordOf([{ heapBytes: 9_000 }], { load: { messages: 1_000, size: 100, rounds: 1 } }))
    expect(new Set(found.map(({ verdict }) => verdict))).toEqual(new Set(['not compared']))
    expect(isWorse(found)).toBe(false)
  })

  test('a load that is gone counts as worse, a new one does not', () => {
    const other = recordOf([{}], { loads: { drain: { leader: overRounds([NOTHING]) } } })
    const found = compare(recordOf([{}]), other)
    expect(found.filter(({ load }) => load === 'sends').map(({ verdict }) => verdict)).toEqual(
      COUNTER_NAMES.map(() => 'gone'),
    )
    expect(found.filter(({ load }) => load === 'drain').map(({ verdict }) => verdict)).toEqual(
      COUNTER_NAMES.map(() => 'new'),
    )
    expect(isWorse(found)).toBe(true)
    expect(isWorse(compare(other, { ...other, loads: { ...other.loads, more: other.loads['drain'] ?? {} } }))).toBe(
      false,
    )
  })

  test('the same record again is the same', () => {
    expect(new Set(compare(last, last).map(({ verdict }) => verdict))).toEqual(new Set(['same']))
  })
})

test('the median and the best of rounds in any order', () => {
  const over = overRounds([3, 1, 2].map((mainCpu) => ({ ...NOTHING, mainCpu })))
  expect(over.mainCpu).toEqual({ median: 2, min: 1 })
})
