/** What `step` says of an AppendEntries: which of its entries were new here. The same stands in `Output.append`. */
export interface StepResult {
  /** -1 when none was. */
  readonly acceptedFirst: number
  readonly acceptedCount: number
}
export const NOTHING_ACCEPTED: StepResult = { acceptedFirst: -1, acceptedCount: 0 }
