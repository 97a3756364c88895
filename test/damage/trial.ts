/**
 * Opens a damaged store and judges what it shows: exactly what was there; where the log was damaged, what was there after some step
 * with nothing left out that was said to be kept, or an error that names the place; never anything else.
 */
import { MemoryMetadata, MessageStore, type MetadataStore, StoreError } from '@dledger-ts/store'
import { type DiskImage, ImageDisk } from './image-disk.ts'
import { CLIENT, GROUP, message, optionsOf, type SmallStore } from './small-store.ts'
import { SteppingClock } from './stepping-clock.ts'
import { lookAt, type Visible } from './visible.ts'

export type Outcome = 'whole' | 'prefix' | 'partly' | 'refused'

export interface Verdict {
  readonly outcome: Outcome
  /** What is wrong with it; null: nothing. */
  readonly violation: string | null
  /** The error of what was refused. */
  readonly why: string
}

export interface TrialOptions {
  readonly small: SmallStore
  readonly files: DiskImage
  /** The database; null: a real one in the store's directory. */
  readonly metadata: MetadataStore | null
  /** What is damaged: only what the log says cannot be had again may be missing. */
  readonly what: 'log' | 'derived'
  /** Also writes on, closes, opens again. */
  readonly goesOn: boolean
}

export async function tryDamaged(options: TrialOptions): Promise<Verdict> {
  const { small, files, metadata } = options
  const clock = new SteppingClock(small.nowMs + 1_000, metadata === null)
  const disk = new ImageDisk(files)
  const fatal: Error[] = []
  const open = (database: MetadataStore | null): Promise<MessageStore> => {
    const onFatal = (error: Error): void => void fatal.push(error)
    return clock.passing(MessageStore.open({ ...optionsOf(small.dir, disk, clock, database), onFatal }))
  }
  let store: MessageStore
  try {
    store = await open(metadata)
  } catch (error) {
    return refused(error, options.what)
  }
  let verdict: Verdict
  let isReady = false
  try {
    const seen = await lookAt(store, clock, small.sights)
    verdict = judge(seen, options)
    isReady = store.isReady()
    if (verdict.violation === null && fatal.length === 0 && isReady && options.goesOn) {
      verdict = { ...verdict, violation: await endsWhatIsPending(store, clock, small, verdict) }
    }
    if (verdict.outcome === 'whole' && options.what === 'derived' && !isReady) {
      verdict = { ...verdict, violation: 'it takes no messages' }
    }
  } finally {
    await clock.passing(store.close()).catch((error: unknown) => {
      if (!(error instanceof StoreError)) throw error
      fatal.push(error)
    })
  }
  if (fatal.length > 0) {
    const [error] = fatal as [Error]
    const violation = options.what === 'derived' || !isTyped(error) ? `it stopped: ${String(error)}` : null
    return { ...verdict, violation: verdict.violation ?? violation, why: String(error) }
  }
  if (verdict.violation !== null || !isReady || !options.goesOn) return verdict
  const again = metadata instanceof MemoryMetadata ? metadata.crash(Number.POSITIVE_INFINITY) : null
  const violation = await opensAgain(() => open(again), clock, small, verdict)
  return { ...verdict, violation }
}

function refused(error: unknown, what: TrialOptions['what']): Verdict {
  const why = String(error)
  if (!isTyped(error)) return { outcome: 'refused', violation: `no error of ours: ${stackOf(error)}`, why }
  if (what === 'derived') return { outcome: 'refused', violation: `refused: ${why}`, why }
  const namesPlace = /\/|record|entry|place/.test(why)
  return { outcome: 'refused', violation: namesPlace ? null : `it names no place: ${why}`, why }
}

function isTyped(error: unknown): boolean {
  return error instanceof StoreError && ['CORRUPT', 'INVALID', 'UNSUPPORTED', 'STORAGE_FAILED'].includes(error.code)
}

function judge(seen: Visible, { small, what }: TrialOptions): Verdict {
  const last = small.states.length
  const errors = [...seen].filter(([, text]) => text.startsWith('!'))
  // A key that a lost record may have: the answer says that it is not complete.
  const bad = errors.find(
    ([name, text]) =>
      what === 'derived' || !(text.startsWith('!CORRUPT') || (/^(key|id) /.test(name) && text.startsWith('!BUSY'))),
  )
  if (bad !== undefined) return wrong(`${bad[0]}: ${bad[1]}`)
  const from = what === 'derived' ? last : Math.min(small.tailFrom, last)
  let nearest: readonly string[] = []
  for (let step = last; step >= from; step--) {
    const found = differences(seen, small.states[step - 1] as Visible)
    if (step === last || found.length < nearest.length) nearest = found
    if (found.length > 0) continue
    if (errors.length > 0) return { outcome: 'partly', violation: null, why: (errors[0] as [string, string])[1] }
    return { outcome: step === last ? 'whole' : 'prefix', violation: null, why: '' }
  }
  return wrong(nearest.join('; '))
}

function wrong(violation: string): Verdict {
  return { outcome: 'partly', violation, why: '' }
}

/** None: `seen` is `expected`, but for what it says to be damaged. */
function differences(seen: Visible, expected: Visible): readonly string[] {
  const found: string[] = []
  for (const [name, text] of seen) {
    if (text.startsWith('!')) continue
    // A record that was stored later is not there, or what the new leader put there.
    if (name.startsWith('at ') && !expected.has(name) && (text === 'nothing' || text.includes(CONTROL_TOPIC))) continue
    const wanted = expected.get(name)
    if (text !== wanted) found.push(difference(name, text, wanted))
  }
  for (const [name, text] of expected) if (!seen.has(name)) found.push(difference(name, 'missing', text))
  return found
}

function difference(name: string, seen: string, expected: string | undefined): string {
  return `${name}: ${seen.slice(0, 300)} where ${expected?.slice(0, 300)} was expected`
}

async function endsWhatIsPending(
  store: MessageStore,
  clock: SteppingClock,
  small: SmallStore,
  { outcome }: Verdict,
): Promise<string | null> {
  if (outcome !== 'whole') return null
  for (const timer of small.pendingTimers) {
    if (!(await clock.passing(store.recallTimer(timer)))) return `timer ${timer.uniqKey} is gone`
  }
  for (const timer of small.endedTimers) {
    if (await clock.passing(store.recallTimer(timer))) return `timer ${timer.uniqKey} has come back`
  }
  const queue = { topic: 'T0', queueId: 0 }
  const locked = await clock.passing(store.lockQueues(GROUP, 'client-2', [queue]))
  if (locked.length > 0) return `the lock of ${CLIENT} is gone`
  return null
}

const AFTER = 'after'
/** Topic of the log's own records. */
const CONTROL_TOPIC = Buffer.from('rmq_sys_dledger').toString('hex')

/** Puts a message, and looks at everything after another start. */
async function opensAgain(
  open: () => Promise<MessageStore>,
  clock: SteppingClock,
  small: SmallStore,
  { outcome }: Verdict,
): Promise<string | null> {
  let store: MessageStore
  try {
    store = await open()
  } catch (error) {
    return `it does not open again: ${stackOf(error)}`
  }
  try {
    if (!store.isReady()) return 'it takes no messages when it is opened again'
    const { queueOffset } = await clock.passing(store.store(message({ topic: AFTER, body: AFTER })))
    const { records } = await clock.passing(store.get({ topic: AFTER, queueOffset }))
    if (records.length !== 1) return 'a message that is put is not there'
    if (outcome !== 'whole') return null
    const seen = new Map(await lookAt(store, clock, small.sights))
    const changed = differences(seen, small.states.at(-1) as Visible)[0]
    return changed ?? [...seen.values()].find((text) => text.startsWith('!')) ?? null
  } finally {
    await clock.passing(store.close())
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)) : String(error)
}
