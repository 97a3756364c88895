/**
 * A schedule in less time: the same faults, closer together, and fewer requests between them, for about half the events.
 *
 * Nothing is said about the timers, which stay as they are: the first moments, in which a group has no leader yet, are left out, and
 * what outlasted an election still does.
 */
import type { Fault, Schedule } from './schedule.ts'

const SHORT_FAULTY_MS = 2_500
/** Mostly there is a leader by then. */
const FIRST_MS = 500
/** What lasts no longer than this does so as long as ever. */
const BRIEF_MS = 200

export function shortened(schedule: Schedule): Schedule {
  const { faultyMs, faults, requests, reads, operations } = schedule
  const when = (ms: number): number => FIRST_MS + Math.floor((ms * (SHORT_FAULTY_MS - FIRST_MS)) / faultyMs)
  /** Of what lasts until everything is healed, until then. */
  const long = (ms: number): number =>
    ms >= faultyMs ? ms : Math.min(ms, BRIEF_MS + Math.floor((Math.max(0, ms - BRIEF_MS) * SHORT_FAULTY_MS) / faultyMs))
  const sooner = (fault: Fault): Fault => ({
    ...fault,
    atMs: when(fault.atMs),
    ...('forMs' in fault ? { forMs: long(fault.forMs) } : {}),
    ...('downMs' in fault ? { downMs: long(fault.downMs) } : {}),
  })
  const moved = <Item extends { readonly atMs: number }>(items: readonly Item[] = []): Item[] =>
    items.map((item) => ({ ...item, atMs: when(item.atMs) }))
  return {
    ...schedule,
    faultyMs: SHORT_FAULTY_MS,
    faults: faults.map(sooner),
    requests: moved(requests).map((request) => ({ ...request, count: Math.ceil(request.count / 2) })),
    reads: moved(reads),
    operations: moved(operations),
  }
}
