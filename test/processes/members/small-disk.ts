/** A file system of a few megabytes in memory, for one process: it lives and ends with it. Needs a user namespace. */
import { spawnSync } from 'node:child_process'

const UNSHARE = ['unshare', '--map-root-user', '--mount', '--propagation', 'private'] as const

/** @returns why there can be none here, or null. */
export function whyNoSmallDisk(): string | null {
  const [command, ...args] = onSmallDisk('/mnt', 1024 * 1024)
  const { status, stderr, error } = spawnSync(command as string, [...args, 'true'], { encoding: 'utf8' })
  return status === 0 ? null : `no small file system here: ${error?.message ?? stderr.trim()}`
}

/** What runs a command for which that directory is a file system of so many bytes. */
export function onSmallDisk(directory: string, bytes: number): string[] {
  const script = `mount -t tmpfs -o size=${bytes} none ${directory} && exec "$@"`
  return [...UNSHARE, 'sh', '-c', script, 'sh']
}
