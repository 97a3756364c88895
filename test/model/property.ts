/**
 * The property that runs keep: a list of commands, drawn and made small by fast-check, against the model.
 *
 * Keeps: what failed last is kept as plain data (`failure`), so that the smallest list found can be written down and done again.
 */
import fc from 'fast-check'
import { doStep } from './doing.ts'
import type { Planted } from './planted.ts'
import { Session } from './session.ts'
import { type Step, stepArbitraries } from './steps.ts'

const COMMANDS_MAX = 60

/** A run as it is written down. */
export interface Run {
  readonly seed: number
  /** Whether messages are large and old log files go. */
  readonly expires: boolean
  /** Whether a message that is sent again under its id is stored once; never in a run where anything goes. */
  readonly once?: boolean
  readonly steps: readonly Step[]
}

export interface Failure extends Run {
  readonly violation: string
}

export interface Explored {
  /** The smallest that failed; null when none did. */
  readonly failure: Failure | null
  readonly runs: number
  readonly events: number
  readonly simulatedMs: number
  readonly counts: Session['counts']
  /** What fast-check says of it, with what repeats it. */
  readonly report: string | null
}

/** Which step comes next is the model's first fact: none is refused, for each can be asked of a group in any state. */
type Facts = Record<string, never>

class StepCommand implements fc.AsyncCommand<Facts, Session> {
  readonly step: Step

  constructor(step: Step) {
    this.step = step
  }

  check(): boolean {
    return true
  }

  async run(_: Facts, session: Session): Promise<void> {
    const { world } = session
    world.say(`STEP ${JSON.stringify(this.step)}`)
    session.done.push(this.step)
    await doStep(session, this.step)
    if (world.violation !== null) throw new Error(world.violation)
  }

  toString(): string {
    return JSON.stringify(this.step)
  }
}

export interface ExploreOptions {
  readonly seed: number
  readonly runs: number
  /** No run begins after so long. */
  readonly forMs?: number
  readonly shrinkMs?: number
  readonly planted?: Planted | undefined
}

const kind = fc.constantFrom(
  { expires: false, once: false },
  { expires: false, once: true },
  { expires: true, once: false },
)

/** Runs command lists until one fails, and makes that one small. */
export async function explore({ seed, runs, forMs, shrinkMs = 60_000, planted }: ExploreOptions): Promise<Explored> {
  let failure: Failure | null = null
  let shrinkUntil = Number.POSITIVE_INFINITY
  const totals = { runs: 0, events: 0, simulatedMs: 0 }
  const counts: Record<string, number> = {}
  const commands = fc.commands(
    stepArbitraries.map((arbitrary) => arbitrary.map((step) => new StepCommand(step))),
    { maxCommands: COMMANDS_MAX, size: 'max' },
  )
  const property = fc.asyncProperty(fc.noShrink(fc.nat()), kind, commands, async (worldSeed, kindOfRun, list) => {
    if (performance.now() > shrinkUntil) return
    const session = new Session({ seed: worldSeed, ...kindOfRun, planted })
    const { world } = session
    try {
      await fc.asyncModelRun(async () => {
        await session.start()
        return { model: {}, real: session }
      }, list)
      if (world.violation === null) await session.finish()
      if (world.violation !== null) throw new Error(world.violation)
    } catch (error) {
      const violation = error instanceof Error ? error.message : String(error)
      failure = { seed: worldSeed, ...kindOfRun, steps: session.done, violation }
      shrinkUntil = Math.min(shrinkUntil, performance.now() + shrinkMs)
      throw error
    }
    totals.runs++
    totals.events += world.eventCount
    totals.simulatedMs += world.nowMs
    for (const [name, count] of Object.entries(session.counts)) counts[name] = (counts[name] ?? 0) + count
  })
  const limit = forMs === undefined ? {} : { interruptAfterTimeLimit: forMs }
  const details = await fc.check(property, { seed, numRuns: runs, endOnFailure: shrinkMs === 0, ...limit })
  const report = details.failed ? fc.defaultReportMessage(details) : null
  return { ...totals, counts: counts as unknown as Session['counts'], failure, report: report ?? null }
}
