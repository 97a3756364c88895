/**
 * What one run does, as plain data, so that it can be drawn, left out one by one, written down and done again.
 */
import fc from 'fast-check'
import { MEMBERS, QUEUES, SENDERS } from './shape.ts'

/** A member by its number, or whoever leads then. */
export type Whom = number | 'leader'

export type Step =
  | { readonly do: 'send'; readonly sender: number; readonly to: Whom; readonly queue: number; readonly count: number }
  | { readonly do: 'pull'; readonly of: Whom; readonly queue: number; readonly back: number }
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
  | { readonly do: 'transfer'; readonly to: number }

const member = fc.nat(MEMBERS - 1)
const whom: fc.Arbitrary<Whom> = fc.oneof(
  { weight: 2, arbitrary: fc.constant('leader' as const) },
  { weight: 1, arbitrary: member },
)
const death = fc.constantFrom('kill' as const, 'power' as const)

function is<const Name extends Step['do']>(name: Name): fc.Arbitrary<Name> {
  return fc.constant(name)
}

/** How often each comes, and with what. */
const STEPS: readonly { readonly weight: number; readonly arbitrary: fc.Arbitrary<Step> }[] = [
  {
    weight: 12,
    arbitrary: fc.record({
      do: is('send'),
      sender: fc.nat(SENDERS - 1),
      to: whom,
      queue: fc.nat(QUEUES - 1),
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: is('pull'), of: whom, queue: fc.nat(QUEUES - 1), back: fc.nat(8) }) },
  { weight: 8, arbitrary: fc.record({ do: is('wait'), ms: fc.constantFrom(0, 1, 2, 5, 20, 200, 700, 1_500, 4_000) }) },
  { weight: 3, arbitrary: fc.record({ do: is('die'), who: whom, death }) },
  { weight: 1, arbitrary: fc.record({ do: is('die all'), death }) },
  { weight: 1, arbitrary: fc.record({ do: is('stop'), who: whom }) },
  { weight: 5, arbitrary: fc.record({ do: is('start') }) },
  { weight: 1, arbitrary: fc.record({ do: is('cut'), from: member, to: member }) },
  { weight: 2, arbitrary: fc.record({ do: is('isolate'), who: whom }) },
  { weight: 3, arbitrary: fc.record({ do: is('heal') }) },
  { weight: 1, arbitrary: fc.record({ do: is('pause'), who: whom }) },
  { weight: 2, arbitrary: fc.record({ do: is('resume') }) },
  { weight: 1, arbitrary: fc.record({ do: is('transfer'), to: member }) },
]

/** The steps of a run, each as often as the table says. */
export const stepArbitraries: readonly fc.Arbitrary<Step>[] = STEPS.flatMap(({ weight, arbitrary }) =>
  Array.from({ length: weight }, () => arbitrary),
)
