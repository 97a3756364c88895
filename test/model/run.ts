/** One run from its seed and its steps; the first violation is its result. */
import { doStep } from './doing.ts'
import type { Run } from './property.ts'
import { Session } from './session.ts'

export interface RunResult {
  readonly violation: string | null
  /** Of all events: the same seed and steps give the same one. */
  readonly hash: number
  readonly events: number
  readonly simulatedMs: number
  readonly counts: Session['counts']
}

export async function runSteps(
  { seed, expires, once = false, steps }: Run,
  trace: ((line: string) => void) | null = null,
): Promise<RunResult> {
  const session = new Session({ seed, expires, once, trace })
  const { world } = session
  await session.start()
  for (const step of steps) {
    if (world.violation !== null) break
    world.say(`STEP ${JSON.stringify(step)}`)
    await doStep(session, step)
  }
  if (world.violation === null) await session.finish()
  const { violation, hash, eventCount, nowMs } = world
  return { violation, hash, events: eventCount, simulatedMs: nowMs, counts: session.counts }
}
