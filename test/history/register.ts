/** A register as clients use it: read, write, compare and set. What `linearizability.ts` needs to know, and a line for people. */
import { checkEach, type Model, type Operation } from './linearizability.ts'

/** Values are unlike each other, so that a read says which write it saw; null is a register that was never written. */
export type RegisterInput =
  | { readonly kind: 'read'; readonly key: string }
  | { readonly kind: 'write'; readonly key: string; readonly value: string }
  | { readonly kind: 'cas'; readonly key: string; readonly expected: string | null; readonly value: string }

/** A read's value; of a compare and set, whether it was one; of a write, nothing. */
export type RegisterOutput =
  | { readonly kind: 'read'; readonly value: string | null }
  | { readonly kind: 'write' }
  | { readonly kind: 'cas'; readonly swapped: boolean }

export type RegisterOperation = Operation<RegisterInput, RegisterOutput> & { readonly client?: string }

export const registerModel: Model<string | null, RegisterInput, RegisterOutput> = {
  initial: null,
  step(state, input, output) {
    const answered = answerOf(state, input)
    return output === undefined || isSame(answered.output, output) ? answered.value : undefined
  },
  key: (state) => (state === null ? '' : `=${state}`),
  isPure: (input, output) => input.kind === 'read' || (output?.kind === 'cas' && !output.swapped),
}

/** What a register that holds `value` answers, and what it holds then. */
export function answerOf(
  value: string | null,
  input: RegisterInput,
): { readonly value: string | null; readonly output: RegisterOutput } {
  switch (input.kind) {
    case 'read':
      return { value, output: { kind: 'read', value } }
    case 'write':
      return { value: input.value, output: { kind: 'write' } }
    case 'cas': {
      const swapped = value === input.expected
      return { value: swapped ? input.value : value, output: { kind: 'cas', swapped } }
    }
  }
}

function isSame(a: RegisterOutput, b: RegisterOutput): boolean {
  if (a.kind === 'read') return b.kind === 'read' && a.value === b.value
  if (a.kind === 'cas') return b.kind === 'cas' && a.swapped === b.swapped
  return b.kind === 'write'
}

/** @returns what is wrong with a history of registers, each with the smallest part that shows it; nothing for a good one. */
export function checkRegisters(history: readonly RegisterOperation[], stepsMax?: number): string[] {
  return checkEach(registerModel, history, (input) => input.key, stepsMax).map(({ key, verdict, shown }) =>
    verdict === 'undecided'
      ? `register ${key}: undecided, the search was given up`
      : [`register ${key} is not linearizable:`, ...shown.map((operation) => `  ${describe(operation)}`)].join('\n'),
  )
}

export function describe(operation: RegisterOperation): string {
  const { input, output, invokedAt, answeredAt, client } = operation
  const times = `${invokedAt} – ${output === undefined ? 'open' : answeredAt}`
  const who = client === undefined ? '' : `${client}: `
  const asked =
    input.kind === 'read'
      ? 'read'
      : input.kind === 'write'
        ? `write ${input.value}`
        : `set ${input.value} where it is ${input.expected}`
  const answered =
    output === undefined
      ? 'unknown'
      : output.kind === 'read'
        ? `${output.value}`
        : output.kind === 'cas'
          ? `${output.swapped}`
          : 'done'
  return `${times}  ${who}${asked} -> ${answered}`
}
