/** What is said where a master ends because another copy was made the master. */
import { CodedError } from '@dledger-ts/base'
import { StoreError } from '@dledger-ts/store'

/** @returns the error, and for such a master one that says what to do. */
export function advised(error: unknown): unknown {
  const isOutdated = error instanceof CodedError && error.code === 'OUTDATED'
  if (!isOutdated || error.message.includes('brokerRole')) return error
  const what = `${error.message}; with brokerRole=SLAVE and a brokerId from 1 on this broker becomes a slave of that one`
  return new StoreError(what, { code: 'OUTDATED', what }, { cause: error })
}
