/**
 * Decides whether a history of operations on one object is linearizable: whether each operation could have taken effect at one
 * moment between its invocation and its answer, so that all answers are those of the object used by one client at a time.
 *
 * The search of Wing and Gong with Lowe's memory: operations are tried in the order in which they may come first; a pair (set of
 * those that took effect, state) that led nowhere is not tried again. The problem is NP-complete, hence a limit of steps, beyond
 * which the answer is `undecided` and never a guess.
 *
 * An operation of unknown outcome stays open until the end of the history: it may take effect at any time after its invocation,
 * or never. (To treat it as failed would be wrong.) Objects are independent of each other, so a history of many is judged one
 * by one (`checkEach`).
 *
 * Sources: Wing and Gong, "Testing and verifying concurrent objects" (1993); Lowe, "Testing for linearizability" (2016); Horn
 * and Kroening, "Faster linearizability checking via P-compositionality" (2015).
 */
import { assert } from '@dledger-ts/base'

export interface Operation<Input, Output> {
  readonly input: Input
  /** `undefined`: the outcome is unknown. */
  readonly output: Output | undefined
  readonly invokedAt: number
  /** Infinity for an unknown outcome. */
  readonly answeredAt: number
}

/** The object as it is for one client at a time. States are compared by `key`. */
export interface Model<State, Input, Output> {
  readonly initial: State
  /** @returns the state afterwards, or undefined when the object would not have answered `output`. An unknown one always fits. */
  step(state: State, input: Input, output: Output | undefined): State | undefined
  key(state: State): string
  /** True when leaving it out of a linearizable history leaves a linearizable one: it changes nothing for others. */
  isPure(input: Input, output: Output | undefined): boolean
}

export type Verdict = 'linearizable' | 'not linearizable' | 'undecided'

/** Steps are attempts to let one operation take effect; a million take about a second. */
const STEPS_MAX = 2_000_000

/**
 * An event of the history in a list with two ends: the operation's invocation, or (with `invocation` set) its answer. Operations
 * that took effect are taken out with both events, and put back when that led nowhere.
 */
interface Event<Input, Output> {
  readonly operation: Operation<Input, Output>
  readonly number: number
  /** Of an invocation: its answer, or null for one that never came. */
  answer: Event<Input, Output> | null
  readonly isInvocation: boolean
  before: Event<Input, Output> | null
  after: Event<Input, Output> | null
}

/** Judges the history of one object. */
export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  stepsMax: number = STEPS_MAX,
): Verdict {
  const head = listOf(history.filter(({ input, output }) => output !== undefined || !model.isPure(input, output)))
  const taken = new Set<string>()
  const effective = new Uint32Array(Math.ceil(history.length / 32))
  const stack: Choice<State, Input, Output>[] = []
  let state = model.initial
  let answersLeft = history.filter((operation) => operation.output !== undefined).length
  // Open operations are tried after all others: most never have to take effect to explain what was answered.
  let triesOpen = false
  let event = head.after
  let steps = 0
  while (answersLeft > 0) {
    if (event !== null && event.isInvocation) {
      if ((event.answer === null) === triesOpen) {
        if (++steps > stepsMax) return 'undecided'
        const { input, output } = event.operation
        const next = model.step(state, input, output)
        const last = stack.at(-1)
        const open = last !== undefined && last.invocation.answer === null ? last : null
        if (
          next !== undefined &&
          (!triesOpen || model.key(next) !== model.key(state)) &&
          (open === null || needs(model, open.stateBefore, event.operation, next))
        ) {
          flip(effective, event.number)
          const known = `${effective.join(' ')}/${model.key(next)}/${triesOpen ? model.key(state) : ''}`
          if (!taken.has(known)) {
            taken.add(known)
            stack.push({ invocation: event, stateBefore: state })
            state = next
            if (event.answer !== null) answersLeft--
            takeOut(event)
            triesOpen = false
            event = head.after
            continue
          }
          flip(effective, event.number)
        }
      }
      event = event.after
      continue
    }
    if (!triesOpen) {
      triesOpen = true
      event = head.after
      continue
    }
    // An answer came before its operation could take effect: the last choice was wrong.
    const choice = stack.pop()
    if (choice === undefined) return 'not linearizable'
    const { invocation } = choice
    state = choice.stateBefore
    flip(effective, invocation.number)
    triesOpen = invocation.answer === null
    if (!triesOpen) answersLeft++
    putBack(invocation)
    event = invocation.after
  }
  return 'linearizable'
}

interface Choice<State, Input, Output> {
  readonly invocation: Event<Input, Output>
  readonly stateBefore: State
}

/**
 * Whether an operation shows that the open one right before it took effect. Where it does not, the open one could as well have
 * come later or never, and that is tried without it: so open operations cost nothing until somebody saw what they did.
 */
function needs<State, Input, Output>(
  model: Model<State, Input, Output>,
  without: State,
  { input, output }: Operation<Input, Output>,
  next: State,
): boolean {
  const otherwise = model.step(without, input, output)
  return otherwise === undefined || (!model.isPure(input, output) && model.key(otherwise) !== model.key(next))
}

export interface Judged<Input, Output> {
  /** Of those that are not linearizable, the part that shows it; of others, nothing. */
  readonly shown: readonly Operation<Input, Output>[]
  readonly key: string
  readonly verdict: Verdict
}

/** Judges each object of a history alone, by `keyOf`. @returns those that are not linearizable or undecided. */
export function checkEach<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  keyOf: (input: Input) => string,
  stepsMax: number = STEPS_MAX,
): Judged<Input, Output>[] {
  const objects = new Map<string, Operation<Input, Output>[]>()
  for (const operation of history) {
    const key = keyOf(operation.input)
    const operations = objects.get(key)
    if (operations === undefined) objects.set(key, [operation])
    else operations.push(operation)
  }
  const found: Judged<Input, Output>[] = []
  for (const [key, operations] of objects) {
    const verdict = checkLinearizable(model, operations, stepsMax)
    if (verdict === 'linearizable') continue
    const shown = verdict === 'undecided' ? [] : smallestPart(model, operations, stepsMax)
    found.push({ key, verdict, shown })
  }
  return found
}

/**
 * A part of a history that is not linearizable which shows it: the shortest beginning, without the operations that changed
 * nothing for the others. Both steps are sound: a beginning of a linearizable history is linearizable, and so is what is left
 * when such an operation is left out.
 */
export function smallestPart<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  stepsMax: number = STEPS_MAX,
): readonly Operation<Input, Output>[] {
  const fails = (part: readonly Operation<Input, Output>[]): boolean =>
    checkLinearizable(model, part, stepsMax) === 'not linearizable'
  const moments = [...new Set(history.map((operation) => operation.answeredAt))].toSorted((a, b) => a - b)
  let [low, high] = [0, moments.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (fails(upTo(history, moments[middle] as number))) high = middle
    else low = middle + 1
  }
  let part = upTo(history, moments[low] ?? 0)
  for (const operation of part) {
    if (!model.isPure(operation.input, operation.output)) continue
    const without = part.filter((other) => other !== operation)
    if (fails(without)) part = without
  }
  return part
}

/** The history as it was at a moment: what was not answered by then is open. */
function upTo<Input, Output>(
  history: readonly Operation<Input, Output>[],
  moment: number,
): readonly Operation<Input, Output>[] {
  return history
    .filter((operation) => operation.invokedAt <= moment)
    .map((operation) =>
      operation.answeredAt <= moment
        ? operation
        : { ...operation, output: undefined, answeredAt: Number.POSITIVE_INFINITY },
    )
}

/** @returns the head of the list, an event of nobody. Of events at one moment invocations come first: they overlap. */
function listOf<Input, Output>(history: readonly Operation<Input, Output>[]): Event<Input, Output> {
  const events: { readonly at: number; readonly event: Event<Input, Output> }[] = []
  for (const [number, operation] of history.entries()) {
    assert(operation.answeredAt >= operation.invokedAt, 'an answer comes after its question')
    const links = { operation, number, before: null, after: null }
    const invocation: Event<Input, Output> = { ...links, isInvocation: true, answer: null }
    events.push({ at: operation.invokedAt, event: invocation })
    if (operation.output === undefined) continue
    invocation.answer = { ...links, isInvocation: false, answer: null }
    events.push({ at: operation.answeredAt, event: invocation.answer })
  }
  events.sort((a, b) => a.at - b.at || Number(b.event.isInvocation) - Number(a.event.isInvocation))
  const head = { before: null, after: null } as Event<Input, Output>
  let last = head
  for (const { event } of events) {
    last.after = event
    event.before = last
    last = event
  }
  return head
}

function takeOut<Input, Output>(invocation: Event<Input, Output>): void {
  unlink(invocation)
  if (invocation.answer !== null) unlink(invocation.answer)
}

/** In the opposite order of `takeOut`, so that every link is as it was. */
function putBack<Input, Output>(invocation: Event<Input, Output>): void {
  if (invocation.answer !== null) link(invocation.answer)
  link(invocation)
}

function unlink<Input, Output>(event: Event<Input, Output>): void {
  if (event.before !== null) event.before.after = event.after
  if (event.after !== null) event.after.before = event.before
}

function link<Input, Output>(event: Event<Input, Output>): void {
  if (event.before !== null) event.before.after = event
  if (event.after !== null) event.after.before = event
}

function flip(bits: Uint32Array, number: number): void {
  bits[number >> 5] = ((bits[number >> 5] as number) ^ (1 << (number & 31))) >>> 0
}
