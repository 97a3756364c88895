/**
 * Errors of the world (disk, peer, role, time) that callers switch on by `code`.
 *
 * Each package has one `errors.ts` with a union of details and one class:
 *
 *   export type StoreErrorDetail = { code: 'OFFSET_OUT_OF_RANGE'; queueOffset: number } | …
 *   export class StoreError extends CodedError<StoreErrorDetail> {}
 */
export class CodedError<Detail extends { readonly code: string }> extends Error {
  readonly detail: Detail

  constructor(message: string, detail: Detail, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.detail = detail
  }

  get code(): Detail['code'] {
    return this.detail.code
  }
}
