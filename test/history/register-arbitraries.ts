/**
 * Histories of registers made good and made bad, for the tests of the checker.
 *
 * Good: a register with moments of effect drawn within each operation's interval; some answers are then forgotten. Bad: a good
 * one with one answer changed so that no order explains it; each mutation says why that is so.
 */
import fc from 'fast-check'
import { answerOf, type RegisterInput, type RegisterOperation, type RegisterOutput } from './register.ts'

interface DrawnOperation {
  readonly client: number
  readonly gap: number
  readonly kind: RegisterInput['kind']
  readonly untilEffect: number
  readonly untilAnswer: number
  /** Of the expected value: the present one, or one that it surely is not. */
  readonly expectsRight: boolean
  readonly outcome: 'known' | 'unknown' | 'never'
}

const drawnOperation: fc.Arbitrary<DrawnOperation> = fc.record({
  client: fc.nat(4),
  gap: fc.nat(6),
  kind: fc.constantFrom('read' as const, 'write' as const, 'cas' as const),
  untilEffect: fc.nat(12),
  untilAnswer: fc.nat(12),
  expectsRight: fc.boolean(),
  outcome: fc.oneof(
    { weight: 8, arbitrary: fc.constant('known' as const) },
    { weight: 2, arbitrary: fc.constant('unknown' as const) },
    { weight: 1, arbitrary: fc.constant('never' as const) },
  ),
})

interface Effect {
  readonly at: number
  readonly number: number
  readonly drawn: DrawnOperation
  readonly invokedAt: number
}

/** A linearizable history: each operation of a client begins after its last one was answered. */
export const goodHistories = (maxLength: number): fc.Arbitrary<readonly RegisterOperation[]> =>
  fc.array(drawnOperation, { minLength: 1, maxLength, size: 'max' }).map(historyOf)

function historyOf(drawn: readonly DrawnOperation[]): readonly RegisterOperation[] {
  const free = new Map<number, number>()
  const effects: Effect[] = []
  for (const [number, operation] of drawn.entries()) {
    const invokedAt = (free.get(operation.client) ?? 0) + 1 + operation.gap
    const at = invokedAt + operation.untilEffect
    free.set(operation.client, at + operation.untilAnswer)
    effects.push({ at, number, drawn: operation, invokedAt })
  }
  effects.sort((a, b) => a.at - b.at || a.number - b.number)
  let value: string | null = null
  const history: RegisterOperation[] = []
  for (const { at, number, drawn: operation, invokedAt } of effects) {
    const input = inputOf(operation, number, value)
    const answered: { readonly value: string | null; readonly output: RegisterOutput } = answerOf(value, input)
    // One that never takes effect has an unknown outcome, too.
    if (operation.outcome !== 'never') value = answered.value
    const isKnown = operation.outcome === 'known'
    history.push({
      client: `c${operation.client}`,
      input,
      output: isKnown ? answered.output : undefined,
      invokedAt,
      answeredAt: isKnown ? at + operation.untilAnswer : Number.POSITIVE_INFINITY,
    })
  }
  return history
}

function inputOf({ kind, expectsRight }: DrawnOperation, number: number, value: string | null): RegisterInput {
  if (kind === 'read') return { kind, key: 'k' }
  if (kind === 'write') return { kind, key: 'k', value: `v${number}` }
  return { kind, key: 'k', expected: expectsRight ? value : 'a value that it never has', value: `v${number}` }
}

/** Takes a good history and appends to it what makes it bad. Of all, `at` is a moment after everything in it was answered. */
export const MUTATIONS: Readonly<
  Record<string, (history: readonly RegisterOperation[], pick: number) => readonly RegisterOperation[]>
> = {
  // Two writes one after the other, with nothing beside them, and then the first one's value: only the second can be the last.
  'a stale read': (history) => {
    const at = endOf(history)
    return [...history, ...written('x1', at), ...written('x2', at + 2), readAt('x1', at + 4)]
  },
  // The value was written and overwritten by nobody: it is there or there was another write.
  'a lost write': (history) => {
    const at = endOf(history)
    const before = settled(history)
    return [...before, ...written('x1', at), readAt(null, at + 2)]
  },
  'a value from nowhere': (history, pick) => [
    ...history,
    readAt('a value that nobody wrote', pick % (endOf(history) + 1)),
  ],
  // The value is set once only; whoever set it first left another behind.
  'one value set twice': (history) => {
    const at = endOf(history)
    const set = (value: string, moment: number): RegisterOperation => ({
      input: { kind: 'cas', key: 'k', expected: 'x1', value },
      output: { kind: 'cas', swapped: true },
      invokedAt: moment,
      answeredAt: moment + 1,
    })
    return [...history, ...written('x1', at), set('x2', at + 2), set('x3', at + 2)]
  },
  // Two readers see two writes in opposite orders, all after the writes were answered.
  'two orders': (history) => {
    const at = endOf(history)
    return [
      ...settled(history),
      { ...(written('x1', at)[0] as RegisterOperation), answeredAt: at + 3 },
      { ...(written('x2', at)[0] as RegisterOperation), answeredAt: at + 3 },
      readAt('x1', at + 1),
      readAt('x2', at + 4),
      readAt('x1', at + 6),
    ]
  },
  // A read that ends before the write of its value begins.
  'a read from the future': (history) => {
    const at = endOf(history)
    return [...history, readAt('x1', at), ...written('x1', at + 2)]
  },
  // It failed although nothing else could have changed what it expected.
  'a refused set of the value that was there': (history) => {
    const at = endOf(history)
    return [
      ...settled(history),
      ...written('x1', at),
      {
        input: { kind: 'cas', key: 'k', expected: 'x1', value: 'x2' },
        output: { kind: 'cas', swapped: false },
        invokedAt: at + 2,
        answeredAt: at + 3,
      },
    ]
  },
}

function endOf(history: readonly RegisterOperation[]): number {
  return (
    1 + Math.max(0, ...history.map(({ invokedAt, answeredAt }) => (answeredAt === Infinity ? invokedAt : answeredAt)))
  )
}

/** Without what is open: that could take effect later and explain another value. */
function settled(history: readonly RegisterOperation[]): readonly RegisterOperation[] {
  let value: string | null = null
  // What is left must be a history of its own: outcomes are taken anew, one operation after the other.
  return history.flatMap((operation, i) => {
    if (operation.output === undefined) return []
    const answered = answerOf(value, operation.input)
    value = answered.value
    return [{ ...operation, output: answered.output, invokedAt: i / history.length, answeredAt: i / history.length }]
  })
}

function written(value: string, at: number): RegisterOperation[] {
  return [{ input: { kind: 'write', key: 'k', value }, output: { kind: 'write' }, invokedAt: at, answeredAt: at + 1 }]
}

function readAt(value: string | null, at: number): RegisterOperation {
  return { input: { kind: 'read', key: 'k' }, output: { kind: 'read', value }, invokedAt: at, answeredAt: at + 1 }
}
