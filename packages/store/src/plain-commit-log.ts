/** A CommitLog that Apache's broker wrote without DLedger, where ours would lie beside it unseen: it is refused, not ignored. */
import { join } from 'node:path'
import type { Disk } from '@dledger-ts/dledger'
import { StoreError } from './errors.ts'

/** Files are named by their first byte, in 20 digits. */
const NAME = /^\d{20}$/

/** @throws StoreError INVALID with a line that says how to move its messages. Changes nothing. */
export function refusePlainCommitLog(disk: Disk, commitLogDirectory: string): void {
  const file = disk.listSync(commitLogDirectory).find((name) => NAME.test(name))
  if (file === undefined) return
  throw new StoreError(
    `${commitLogDirectory}: holds a CommitLog that was written without DLedger (${join(commitLogDirectory, file)}); it cannot be ` +
      'opened. Start this broker under another directory and broker name, take the write permission from the old one ' +
      '(brokerPermission=4), and stop it when the consumers have drained it',
    { code: 'INVALID', what: 'storePathCommitLog' },
  )
}
