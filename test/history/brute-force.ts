/** The definition itself, as slow as it is plain: tries every order of a small history. For the tests of the checker. */
import type { Model, Operation } from './linearizability.ts'

/** Whether some order of all answered and any open operations respects their times and explains every answer. */
export function isLinearizableByDefinition<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
): boolean {
  const extend = (state: State, left: readonly Operation<Input, Output>[]): boolean => {
    if (left.every((operation) => operation.output === undefined)) return true
    return left.some((operation) => {
      if (left.some((other) => other.output !== undefined && other.answeredAt < operation.invokedAt)) return false
      const next = model.step(state, operation.input, operation.output)
      return (
        next !== undefined &&
        extend(
          next,
          left.filter((other) => other !== operation),
        )
      )
    })
  }
  return extend(model.initial, history)
}
