/** Histories of a log made good and made bad, for the tests of the checker. */
import fc from 'fast-check'
import type { Append, AppendOutcome, LogHistory, LogRead, SeenEntry } from './log-order.ts'

interface DrawnStep {
  readonly kind: 'append' | 'control' | 'read'
  readonly before: number
  readonly after: number
  /** Of an append: how it ends. Of a read: what it claims. */
  readonly choice: number
  readonly reader: number
  readonly lag: number
  readonly length: number
}

const drawnStep: fc.Arbitrary<DrawnStep> = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('append' as const) },
    { weight: 1, arbitrary: fc.constant('control' as const) },
    { weight: 4, arbitrary: fc.constant('read' as const) },
  ),
  before: fc.nat(8),
  after: fc.nat(8),
  choice: fc.nat(9),
  reader: fc.nat(2),
  lag: fc.nat(4),
  length: fc.nat(8),
})

/**
 * A log that takes one thing at a time, at the moments 10, 20, …: an append takes effect there, or not; a read sees the log as it
 * is there, or less of it as a member that lags would. At the end everything is read.
 */
export const goodLogs: fc.Arbitrary<LogHistory> = fc
  .array(drawnStep, { minLength: 4, maxLength: 60, size: 'max' })
  .map((steps) => {
    const log: (SeenEntry | null)[] = []
    const appends: Append[] = []
    const reads: LogRead[] = []
    const seen = [0, 0, 0]
    const read = (reader: string, at: DrawnStep & { moment: number }, from: number, end: number): LogRead => ({
      reader,
      startedAt: at.moment - at.before,
      endedAt: at.moment + at.after,
      from,
      end,
      entries: log.slice(from, end).filter((entry) => entry !== null),
      claim: 'prefix',
    })
    for (const [i, drawn] of steps.entries()) {
      const step = { ...drawn, moment: 10 * (i + 1) }
      if (step.kind === 'control') log.push(null)
      else if (step.kind === 'append') appends.push(appended(log, step, i))
      else if (step.choice < 4) {
        const linearizable = read('leader', step, Math.max(0, log.length - step.length), log.length)
        reads.push({ ...linearizable, claim: 'linearizable' })
      } else {
        const end = Math.max(seen[step.reader] as number, log.length - step.lag)
        seen[step.reader] = end
        reads.push(read(`member ${step.reader}`, step, Math.max(0, end - step.length), end))
      }
    }
    const last = { ...(steps[0] as DrawnStep), before: 0, after: 0, moment: 10 * (steps.length + 2) }
    for (const name of ['member 0', 'member 1', 'member 2']) {
      reads.push({ ...read(name, last, 0, log.length), claim: 'final' })
    }
    return { appends, reads }
  })

function appended(log: (SeenEntry | null)[], step: DrawnStep & { moment: number }, i: number): Append {
  const { choice, moment } = step
  const outcome: AppendOutcome = choice < 7 ? 'acknowledged' : choice === 7 ? 'refused' : 'unknown'
  const index = log.length
  const append = {
    id: `a${i}`,
    content: `content of a${i}`,
    invokedAt: moment - step.before,
    answeredAt: outcome === 'unknown' ? Number.POSITIVE_INFINITY : moment + step.after,
    outcome,
    index: outcome === 'acknowledged' ? index : -1,
  }
  if (outcome === 'acknowledged' || choice === 8) log.push({ index, id: append.id, content: append.content })
  return append
}

type Mutation = (history: LogHistory, acknowledged: readonly Append[]) => LogHistory

/** Each takes a good history with at least two acknowledged appends, of which the last began after the first was answered. */
export const LOG_MUTATIONS: Readonly<Record<string, Mutation>> = {
  'an acknowledged append that one member lost': (history, [first]) =>
    withLastRead(history, (entries) => entries.filter(({ id }) => id !== first?.id)),
  'an acknowledged append that nobody has': (history, [first]) => ({
    ...history,
    reads: history.reads.map((read) => ({ ...read, entries: read.entries.filter(({ id }) => id !== first?.id) })),
  }),
  'an append that stands twice': (history, [first]) => {
    const end = (history.reads.at(-1) as LogRead).end
    return withLastRead(history, (entries) => [...entries, { ...(first as Append), index: end }], 1)
  },
  'two entries in another order at one member': (history, [first, ...more]) => {
    const last = more.at(-1) as Append
    const other = (id: string): Append | undefined => (id === first?.id ? last : id === last.id ? first : undefined)
    return withLastRead(history, (entries) =>
      entries.map((entry) => ({
        ...entry,
        id: other(entry.id)?.id ?? entry.id,
        content: other(entry.id)?.content ?? entry.content,
      })),
    )
  },
  'other bytes at one member': (history, [first]) =>
    withLastRead(history, (entries) =>
      entries.map((entry) => (entry.id === first?.id ? { ...entry, content: 'rotten' } : entry)),
    ),
  'an entry that nobody appended': (history) => {
    const end = (history.reads.at(-1) as LogRead).end
    return withLastRead(history, (entries) => [...entries, { index: end, id: 'nobody', content: '' }], 1)
  },
  'an append that was refused and is there': (history, [first]) => ({
    ...history,
    appends: history.appends.map((append) =>
      append === first ? { ...append, outcome: 'refused' as const, index: -1 } : append,
    ),
  }),
  'an index that was acknowledged twice': (history, [first, ...more]) => ({
    ...history,
    appends: history.appends.map((append) =>
      append === more.at(-1) ? { ...append, index: (first as Append).index } : append,
    ),
  }),
  'an append that came before what was acknowledged earlier': (history, [first, ...more]) => ({
    ...history,
    appends: history.appends.map((append) =>
      append === first
        ? { ...append, invokedAt: (more.at(-1) as Append).answeredAt + 1, answeredAt: Infinity }
        : append,
    ),
  }),
  'an entry that was seen before it was appended': (history, [first]) => ({
    ...history,
    appends: history.appends.map((append) =>
      append === first ? { ...append, invokedAt: 1_000_000, answeredAt: 1_000_001 } : append,
    ),
  }),
  'a reader that goes back': (history) => {
    const last = history.reads.at(-1) as LogRead
    const back = {
      ...last,
      startedAt: last.endedAt + 1,
      endedAt: last.endedAt + 2,
      end: last.end - 1,
      claim: 'prefix' as const,
    }
    return {
      ...history,
      reads: [...history.reads, { ...back, entries: back.entries.filter(({ index }) => index < back.end) }],
    }
  },
  'a linearizable read that is stale': (history, [, ...more]) => {
    const last = more.at(-1) as Append
    const stale: LogRead = {
      reader: 'stale',
      startedAt: last.answeredAt + 1,
      endedAt: last.answeredAt + 2,
      from: last.index,
      end: last.index,
      entries: [],
      claim: 'linearizable',
    }
    return { ...history, reads: [...history.reads, stale] }
  },
  'a log that ends too early at one member': (history, [, ...more]) => {
    const last = history.reads.at(-1) as LogRead
    const end = (more.at(-1) as Append).index
    const short = { ...last, reader: 'another', end, entries: last.entries.filter(({ index }) => index < end) }
    return { ...history, reads: [...history.reads.slice(0, -1), short] }
  },
}

function withLastRead(
  history: LogHistory,
  change: (entries: readonly SeenEntry[]) => readonly SeenEntry[],
  more = 0,
): LogHistory {
  const last = history.reads.at(-1) as LogRead
  return {
    ...history,
    reads: [...history.reads.slice(0, -1), { ...last, end: last.end + more, entries: change(last.entries) }],
  }
}
