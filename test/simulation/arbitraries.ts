/**
 * The schedules that fast-check draws from. Faults and requests are lists of independent items, so they shrink item by item.
 */
import fc from 'fast-check'
import type { ClientRead, ClientRequest, Death, Fault, RegisterRequest, Profile, Schedule } from './schedule.ts'
import { shortened } from './short.ts'

const FAULTY_MS = 6_000
const FAULTS_MAX = 16
const CROWD_MAX = 10
const REQUESTS_MAX = 50
const READS_MAX = 40
const OPERATIONS_MAX = 40

/** Every other thing falls near one of a few moments, so that faults and requests often meet. */
const atMs = fc.oneof(
  fc.nat(FAULTY_MS),
  fc.tuple(fc.constantFrom(1_200, 2_400, 3_600, 4_800), fc.nat(120)).map(([moment, later]) => moment + later),
)
const member = fc.nat(4)
/** Short ones are met often, long ones outlast an election. */
const forMs = fc.oneof(fc.integer({ min: 5, max: 200 }), fc.integer({ min: 200, max: 3_000 }))
/** Also for ever: until everything is healed. */
const hangMs = fc.oneof(forMs, fc.constant(FAULTY_MS))
const direction = fc.constantFrom('both' as const, 'in' as const, 'out' as const)

const death = fc.constantFrom<Death[]>('kill', 'power')
const downMs = forMs

function one<Kind extends Fault['kind']>(
  kind: Kind,
  fields: FieldsOf<Extract<Fault, { kind: Kind }>>,
): fc.Arbitrary<Fault> {
  return fc.record({ kind: fc.constant(kind), atMs, ...fields }) as unknown as fc.Arbitrary<Fault>
}
type FieldsOf<Item> = { [Field in Exclude<keyof Item, 'kind' | 'atMs'>]: fc.Arbitrary<Item[Field]> }

const SHAPES = ['halves', 'halves', 'bridge', 'ring'] as const

/** From what is drawn anyway: the schedules of all seeds stay as they are. */
function shaped(fault: Fault): Fault {
  return fault.kind === 'split' ? { ...fault, shape: SHAPES[fault.forMs % SHAPES.length] ?? 'halves' } : fault
}

const fault: fc.Arbitrary<Fault> = fc.oneof(
  { weight: 4, arbitrary: one('crash', { member, death, downMs }) },
  { weight: 4, arbitrary: one('crashLeader', { death, downMs }) },
  { weight: 5, arbitrary: one('crashAtEffect', { member, effects: fc.nat(40), death, downMs }) },
  { weight: 2, arbitrary: one('crashAll', { death, downMs }) },
  { weight: 1, arbitrary: one('stop', { member, downMs }) },
  { weight: 1, arbitrary: one('pause', { member, forMs }) },
  { weight: 2, arbitrary: one('pauseLeader', { forMs }) },
  { weight: 1, arbitrary: one('strandLeader', { suspended: fc.boolean(), forMs: fc.integer({ min: 5, max: 2_500 }) }) },
  { weight: 1, arbitrary: one('suspend', { member: fc.oneof(fc.constant(-1), member), forMs }) },
  { weight: 2, arbitrary: one('isolate', { member, direction, forMs }) },
  { weight: 4, arbitrary: one('isolateLeader', { direction, forMs }) },
  {
    weight: 2,
    arbitrary: one('split', { side: fc.integer({ min: 1, max: 30 }), shape: fc.constant('halves'), forMs }).map(shaped),
  },
  { weight: 2, arbitrary: one('cutLink', { from: member, to: member, forMs }) },
  {
    weight: 2,
    arbitrary: one('narrowLink', { from: member, to: member, bytesPerMs: fc.integer({ min: 1, max: 200 }), forMs }),
  },
  {
    weight: 4,
    arbitrary: one('weather', {
      lossPerMille: fc.nat(300),
      duplicatePerMille: fc.nat(300),
      latePerMille: fc.oneof(fc.nat(100), fc.nat(600)),
      delayMs: fc.nat(120),
      forMs,
    }),
  },
  { weight: 2, arbitrary: one('reset', { from: member, to: member }) },
  { weight: 2, arbitrary: one('slowDisk', { member, factor: fc.integer({ min: 5, max: 100 }), forMs }) },
  { weight: 2, arbitrary: one('slowLeader', { factor: fc.integer({ min: 5, max: 200 }), forMs }) },
  { weight: 1, arbitrary: one('hangDisk', { member, forMs: hangMs }) },
  { weight: 2, arbitrary: one('hangLeader', { forMs: hangMs }) },
  { weight: 1, arbitrary: one('fullDisk', { member, forMs: hangMs }) },
  { weight: 2, arbitrary: one('fullLeader', { forMs: hangMs }) },
  { weight: 2, arbitrary: one('transfer', { to: member }) },
  { weight: 6, arbitrary: one('trim', { keep: fc.oneof(fc.nat(5), fc.nat(60)) }) },
  { weight: 1, arbitrary: one('clockJump', { member, byMs: fc.integer({ min: -100_000, max: 100_000 }) }) },
  {
    weight: 2,
    arbitrary: one('diskError', {
      member,
      error: fc.constantFrom('write' as const, 'sync' as const, 'full' as const),
      operations: fc.nat(20),
      downMs,
    }),
  },
  { weight: 2, arbitrary: one('wipe', { member, downMs }) },
  { weight: 2, arbitrary: one('restore', { member, back: fc.nat(2), downMs }) },
  {
    weight: 4,
    arbitrary: one('change', {
      member: fc.nat(6),
      wish: fc.constantFrom('voter' as const, 'voter' as const, 'learner' as const, 'removed' as const),
    }),
  },
  {
    weight: 4,
    arbitrary: one('rot', {
      member,
      target: fc.constantFrom('data' as const, 'data' as const, 'index' as const, 'hardState' as const),
      how: fc.constantFrom('flip' as const, 'flip' as const, 'lostWrite' as const, 'misdirected' as const),
      place: fc.nat(999),
      seed: fc.nat(0xffff),
    }),
  },
  {
    weight: 2,
    arbitrary: one('loseFile', {
      member,
      target: fc.constantFrom('data' as const, 'data' as const, 'index' as const),
      how: fc.constantFrom('missing' as const, 'short' as const),
      place: fc.nat(999),
      downMs,
    }),
  },
)

/** Ends near one of the moments, where it began near another. */
const untilMs = fc
  .tuple(fc.constantFrom(1_200, 1_200, 2_400), fc.integer({ min: -60, max: 150 }))
  .map(([a, b]) => a + b)
const shortMs = fc.integer({ min: 5, max: 150 })
const powerLoss = one('crash', { member: fc.nat(2), death: fc.constant('power' as const), downMs: shortMs })

/**
 * A few kinds of faults that crowd together: what takes several of them at the right times happens there, and hardly where all kinds
 * are drawn alike.
 */
const CROWDS: Readonly<
  Record<'deposedLeaders' | 'powerLosses' | 'damage' | 'changes' | 'sickDisks', readonly fc.Arbitrary<Fault>[]>
> = {
  deposedLeaders: [
    one('isolateLeader', { direction, forMs: untilMs }),
    one('isolateLeader', { direction: fc.constant('both' as const), forMs: untilMs }),
    one('crashLeader', { death, downMs: untilMs }),
    one('pauseLeader', { forMs: untilMs }),
  ],
  powerLosses: [
    powerLoss,
    powerLoss,
    powerLoss,
    one('crashLeader', { death, downMs: shortMs }),
    one('transfer', { to: fc.nat(2) }),
    one('weather', {
      lossPerMille: fc.nat(50),
      duplicatePerMille: fc.nat(300),
      latePerMille: fc.integer({ min: 200, max: 800 }),
      delayMs: fc.nat(120),
      forMs: untilMs,
    }),
  ],
  damage: [
    one('rot', {
      member,
      target: fc.constant('data' as const),
      how: fc.constantFrom('flip' as const, 'lostWrite' as const, 'misdirected' as const),
      place: fc.nat(999),
      seed: fc.nat(0xffff),
    }),
    one('crash', { member, death: fc.constant('kill' as const), downMs: shortMs }),
    one('isolateLeader', { direction, forMs }),
  ],
  changes: [
    one('change', {
      member: fc.nat(6),
      wish: fc.constantFrom('voter' as const, 'learner' as const, 'removed' as const),
    }),
    one('change', { member: fc.nat(6), wish: fc.constantFrom('voter' as const, 'removed' as const) }),
    one('wipe', { member, downMs: shortMs }),
    one('restore', { member, back: fc.nat(2), downMs: shortMs }),
    one('isolateLeader', { direction, forMs: untilMs }),
    one('crashLeader', { death, downMs: shortMs }),
  ],
  sickDisks: [
    one('hangLeader', { forMs: hangMs }),
    one('fullDisk', { member, forMs: hangMs }),
    one('slowLeader', { factor: fc.integer({ min: 5, max: 200 }), forMs }),
    one('diskError', {
      member,
      error: fc.constantFrom('write' as const, 'sync' as const),
      operations: fc.nat(20),
      downMs,
    }),
    one('crashAtEffect', { member, effects: fc.nat(40), death, downMs: shortMs }),
  ],
}
const crowd: fc.Arbitrary<readonly Fault[]> = fc.oneof(
  { withCrossShrink: true },
  { weight: 5, arbitrary: fc.constant([]) },
  ...Object.values(CROWDS).map((faults) => ({
    weight: 1,
    arbitrary: fc.array(fc.oneof(...faults), { minLength: 1, maxLength: CROWD_MAX, size: 'max' }),
  })),
)

/** Drawn behind all else, so that the rest of a schedule is as it was before there were these. */
const oddRot = {
  member,
  target: fc.constantFrom('data' as const, 'data' as const, 'index' as const, 'hardState' as const),
  place: fc.nat(999),
  seed: fc.nat(0xffff),
}
const oddities: fc.Arbitrary<readonly Fault[]> = fc.oneof(
  { withCrossShrink: true },
  { weight: 2, arbitrary: fc.constant([]) },
  {
    weight: 1,
    arbitrary: fc.array(
      fc.oneof(
        one('readError', {
          member,
          how: fc.constantFrom('once' as const, 'once' as const, 'sector' as const),
          atStart: fc.boolean(),
          operations: fc.nat(25),
          place: fc.nat(999),
          forMs,
          downMs: shortMs,
        }),
        one('rot', { ...oddRot, how: fc.constant('stale' as const) }),
        one('rot', { ...oddRot, how: fc.constant('staleOnce' as const) }),
        one('rot', { ...oddRot, how: fc.constant('staleOnce' as const) }),
        one('litter', {
          member,
          target: fc.constantFrom('data' as const, 'data' as const, 'index' as const),
          downMs: shortMs,
          seed: fc.nat(0xffff),
        }),
        one('crash', { member, death: fc.constant('kill' as const), downMs: shortMs }),
      ),
      { minLength: 1, maxLength: CROWD_MAX, size: 'max' },
    ),
  },
)

/** A group with little to do proves little: where there are few requests a steady client makes some; a failure is tried without it. */
const steady = fc.option(fc.integer({ min: 80, max: 120 }), { freq: 1_000 })
const QUIET_REQUESTS = 16

const request: fc.Arbitrary<ClientRequest> = fc.record({
  atMs,
  to: fc.oneof({ weight: 4, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: member }),
  count: fc.integer({ min: 1, max: 6 }),
  bytes: fc.oneof(
    { weight: 12, arbitrary: fc.nat(60) },
    { weight: 4, arbitrary: fc.nat(900) },
    { weight: 1, arbitrary: fc.integer({ min: 900, max: 5_000 }) },
  ),
})

const operation: fc.Arbitrary<RegisterRequest> = fc.record({
  atMs,
  to: fc.oneof({ weight: 6, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: member }),
  kind: fc.constantFrom('read' as const, 'read' as const, 'write' as const, 'cas' as const),
  key: fc.nat(2),
  bytes: fc.nat(40),
})

const read: fc.Arbitrary<ClientRead> = fc.record({
  atMs,
  to: fc.oneof({ weight: 2, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: member }),
  consistency: fc.constantFrom<ClientRead['consistency'][]>('linearizable', 'linearizable', 'lease', 'bounded'),
  maxStalenessMs: fc.integer({ min: 20, max: 1_500 }),
})

const mixedCrowd: fc.Arbitrary<readonly Fault[]> = fc.array(fc.oneof(...CROWDS.damage, ...CROWDS.changes), {
  minLength: 4,
  maxLength: 2 * CROWD_MAX,
  size: 'max',
})

export const schedules = schedulesWith(crowd)
const mixedSchedules = schedulesWith(mixedCrowd).map((schedule): Schedule => ({ ...schedule, profile: 'mixed' }))
const beyondSchedules = schedules.map((schedule): Schedule => ({ ...schedule, profile: 'beyond' }))
const shortSchedules = schedules.map(shortened)

export const SCHEDULES: Readonly<Record<Profile, fc.Arbitrary<Schedule>>> = {
  within: schedules,
  short: shortSchedules,
  mixed: mixedSchedules,
  beyond: beyondSchedules,
}

function schedulesWith(crowded: fc.Arbitrary<readonly Fault[]>): fc.Arbitrary<Schedule> {
  return fc
    .record({
      seed: fc.noShrink(fc.nat(0x7fff_ffff)),
      members: fc.constantFrom<Schedule['members'][]>(3, 3, 5),
      flush: fc.constantFrom<Schedule['flush'][]>('SYNC_FLUSH', 'SYNC_FLUSH', 'ASYNC_FLUSH'),
      network: fc.constantFrom<Schedule['network'][]>('streams', 'datagrams'),
      faultyMs: fc.constant(FAULTY_MS),
      faults: fc.array(fault, { maxLength: FAULTS_MAX, size: 'max' }),
      requests: fc.array(request, { maxLength: REQUESTS_MAX, size: 'max' }),
      reads: fc.array(read, { maxLength: READS_MAX, size: 'max' }),
      operations: fc.array(operation, { maxLength: OPERATIONS_MAX, size: 'max' }),
      crowd: crowded,
      steady,
      oddities,
    })
    .map(({ crowd: more, steady: steadyMs, oddities: odd, ...schedule }) => {
      const isQuiet = steadyMs !== null && schedule.requests.length < QUIET_REQUESTS
      const faults = [...schedule.faults, ...more, ...odd]
      return withinThePromise({ ...schedule, faults, ...(isQuiet ? { steadyMs } : {}) })
    })
}

/**
 * Under ASYNC_FLUSH members that lost power together wait for every vote, and a disk that was lost never votes again: both at once
 * are more than is promised. What is promised where voters go besides is kept to as it happens: see `mayLosePower`.
 */
const NOT_UNDER_ASYNC_FLUSH: ReadonlySet<string> = new Set(['wipe', 'restore'])

function withinThePromise(schedule: Schedule): Schedule {
  if (schedule.flush === 'SYNC_FLUSH') return schedule
  return { ...schedule, faults: schedule.faults.filter(({ kind }) => !NOT_UNDER_ASYNC_FLUSH.has(kind)) }
}

/** The schedule of a seed: the same that `fc.check(property(schedules), { seed, numRuns: 1 })` tries. */
export function scheduleOf(seed: number, profile: Profile = 'within'): Schedule {
  return fc.sample(SCHEDULES[profile], { seed, numRuns: 1 })[0] as Schedule
}
