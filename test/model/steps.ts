/**
 * What one run does, as plain data, so that it can be drawn, left out one by one, written down and done again.
 */
import fc from 'fast-check'
import { FILTERS } from './filters.ts'
import { DELAY_LEVELS_MS, MEMBERS, QUEUES, SENDERS } from './shape.ts'

/** A member by its number, or whoever leads then. */
export type Whom = number | 'leader'

/** How a message is sent. */
export type Way =
  | { readonly kind: 'plain' }
  | { readonly kind: 'level'; readonly level: number }
  | { readonly kind: 'timer'; readonly ms: number }
  | { readonly kind: 'half' }

export type Step =
  | {
      readonly do: 'send'
      readonly sender: number
      readonly to: Whom
      readonly queue: number
      readonly count: number
      readonly way: Way
    }
  | { readonly do: 'send again'; readonly to: Whom; readonly back: number }
  | { readonly do: 'batch'; readonly sender: number; readonly to: Whom; readonly queue: number; readonly count: number }
  | { readonly do: 'end'; readonly to: Whom; readonly half: number; readonly outcome: 'commit' | 'rollback' }
  | { readonly do: 'pull'; readonly of: Whom; readonly queue: number; readonly back: number }
  | {
      readonly do: 'pull filtered'
      readonly of: Whom
      readonly queue: number
      readonly back: number
      readonly filter: number
    }
  | { readonly do: 'heartbeat'; readonly sender: number }
  | { readonly do: 'commit offset'; readonly to: Whom; readonly queue: number; readonly by: number }
  | { readonly do: 'query offset'; readonly of: Whom; readonly queue: number }
  | { readonly do: 'pop'; readonly of: Whom; readonly count: number; readonly invisibleMs: number }
  | { readonly do: 'ack'; readonly to: Whom; readonly count: number }
  | { readonly do: 'change invisible'; readonly to: Whom; readonly count: number; readonly invisibleMs: number }
  | { readonly do: 'lock' | 'unlock'; readonly at: Whom; readonly client: number }
  | { readonly do: 'pop in order'; readonly of: Whom; readonly count: number; readonly invisibleMs: number }
  | { readonly do: 'ack in order'; readonly to: Whom; readonly count: number }
  | { readonly do: 'delete topic'; readonly to: Whom }
  | { readonly do: 'create topic'; readonly to: Whom }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'die'; readonly who: Whom; readonly death: 'kill' | 'power' }
  | { readonly do: 'die all'; readonly death: 'kill' | 'power' }
  | { readonly do: 'stop'; readonly who: Whom }
  | { readonly do: 'start' }
  | { readonly do: 'cut'; readonly from: number; readonly to: number }
  | { readonly do: 'isolate'; readonly who: Whom }
  | { readonly do: 'heal' }
  | { readonly do: 'pause'; readonly who: Whom }
  | { readonly do: 'resume' }
  | { readonly do: 'slow'; readonly who: Whom; readonly times: number }
  | { readonly do: 'fill'; readonly who: Whom }
  | { readonly do: 'transfer'; readonly to: number }

const member = fc.nat(MEMBERS - 1)
const whom: fc.Arbitrary<Whom> = fc.oneof(
  { weight: 2, arbitrary: fc.constant('leader' as const) },
  { weight: 1, arbitrary: member },
)
const death = fc.constantFrom('kill' as const, 'power' as const)

const queue = fc.nat(QUEUES - 1)
/** One whose topic stays. */
const lastingQueue = fc.nat(QUEUES - 2)
const sender = fc.nat(SENDERS - 1)
const count = fc.integer({ min: 1, max: 6 })
const invisibleMs = fc.constantFrom(500, 2_000, 5_000)
const outcome = fc.constantFrom('commit' as const, 'rollback' as const)
const way: fc.Arbitrary<Way> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Way>({ kind: 'plain' }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: is('level'), level: fc.integer({ min: 1, max: DELAY_LEVELS_MS.length }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: is('timer'), ms: fc.integer({ min: 1, max: 8_000 }) }) },
  { weight: 2, arbitrary: fc.constant<Way>({ kind: 'half' }) },
)

function is<const Name extends string>(name: Name): fc.Arbitrary<Name> {
  return fc.constant(name)
}

/** How often each comes, and with what. */
const STEPS: readonly { readonly weight: number; readonly arbitrary: fc.Arbitrary<Step> }[] = [
  { weight: 16, arbitrary: fc.record({ do: is('send'), sender, to: whom, queue, count, way }) },
  { weight: 5, arbitrary: fc.record({ do: is('send again'), to: whom, back: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ do: is('batch'), sender, to: whom, queue, count }) },
  { weight: 7, arbitrary: fc.record({ do: is('end'), to: whom, half: fc.nat(2), outcome }) },
  { weight: 6, arbitrary: fc.record({ do: is('pull'), of: whom, queue, back: fc.nat(8) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: is('pull filtered'),
      of: whom,
      queue,
      back: fc.nat(12),
      filter: fc.nat(FILTERS.length - 1),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: is('heartbeat'), sender }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: is('commit offset'),
      to: whom,
      queue: lastingQueue,
      by: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: is('query offset'), of: whom, queue: lastingQueue }) },
  { weight: 6, arbitrary: fc.record({ do: is('pop'), of: whom, count, invisibleMs }) },
  { weight: 6, arbitrary: fc.record({ do: is('ack'), to: whom, count }) },
  { weight: 1, arbitrary: fc.record({ do: is('change invisible'), to: whom, count, invisibleMs }) },
  { weight: 4, arbitrary: fc.record({ do: is('lock'), at: whom, client: fc.nat(1) }) },
  { weight: 2, arbitrary: fc.record({ do: is('unlock'), at: whom, client: fc.nat(1) }) },
  { weight: 5, arbitrary: fc.record({ do: is('pop in order'), of: whom, count, invisibleMs }) },
  { weight: 4, arbitrary: fc.record({ do: is('ack in order'), to: whom, count }) },
  { weight: 1, arbitrary: fc.record({ do: is('delete topic'), to: whom }) },
  { weight: 1, arbitrary: fc.record({ do: is('create topic'), to: whom }) },
  {
    weight: 14,
    arbitrary: fc.record({ do: is('wait'), ms: fc.constantFrom(1, 5, 20, 50, 200, 700, 1_500, 2_500) }),
  },
  { weight: 2, arbitrary: fc.record({ do: is('die'), who: whom, death }) },
  { weight: 1, arbitrary: fc.record({ do: is('die all'), death }) },
  { weight: 1, arbitrary: fc.record({ do: is('stop'), who: whom }) },
  { weight: 6, arbitrary: fc.record({ do: is('start') }) },
  { weight: 1, arbitrary: fc.record({ do: is('cut'), from: member, to: member }) },
  { weight: 1, arbitrary: fc.record({ do: is('isolate'), who: whom }) },
  { weight: 4, arbitrary: fc.record({ do: is('heal') }) },
  { weight: 1, arbitrary: fc.record({ do: is('pause'), who: whom }) },
  { weight: 3, arbitrary: fc.record({ do: is('resume') }) },
  { weight: 1, arbitrary: fc.record({ do: is('slow'), who: whom, times: fc.constantFrom(5, 50) }) },
  { weight: 2, arbitrary: fc.record({ do: is('fill'), who: whom }) },
  { weight: 1, arbitrary: fc.record({ do: is('transfer'), to: member }) },
]

/** The steps of a run, each as often as the table says. */
export const stepArbitraries: readonly fc.Arbitrary<Step>[] = STEPS.flatMap(({ weight, arbitrary }) =>
  Array.from({ length: weight }, () => arbitrary),
)
