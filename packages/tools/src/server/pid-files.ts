/**
 * Process id files under `$DLEDGER_HOME` (default `~/.dledger-ts`), by which `mqshutdown` finds the servers of this user and
 * this installation. One file per server, named by kind and pid; it holds where the server was installed.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeDirectoriesSync } from '@dledger-ts/base'

export type ServerKind = 'broker' | 'namesrv'

const INSTALLATION = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

function directory(): string {
  return join(process.env['DLEDGER_HOME'] || join(homedir(), '.dledger-ts'), 'run')
}

/**
 * Writes this process's file, and removes it when the process exits. A server serves where it cannot be written, too.
 *
 * @param warn is told so.
 */
export function writePidFile(kind: ServerKind, warn: (line: string) => void): void {
  const path = join(directory(), `${kind}-${process.pid}.json`)
  try {
    makeDirectoriesSync(directory())
    writeFileSync(path, JSON.stringify({ pid: process.pid, kind, installation: INSTALLATION }))
  } catch (error) {
    warn(`mqshutdown will not find this ${kind}: ${(error as Error).message}; DLEDGER_HOME names another directory`)
    return
  }
  process.on('exit', () => rmSync(path, { force: true }))
}

/** @returns the ids of the live servers of a kind; files of dead ones are removed. */
export function runningServers(kind: ServerKind): number[] {
  const found: number[] = []
  let names: string[]
  try {
    names = readdirSync(directory())
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  for (const name of names) {
    if (!name.startsWith(`${kind}-`) || !name.endsWith('.json')) continue
    const path = join(directory(), name)
    const pid = Number(name.slice(kind.length + 1, -'.json'.length))
    const installation = installationIn(path)
    if (installation !== null && installation !== INSTALLATION) continue
    if (!isServer(pid, kind)) rmSync(path, { force: true })
    else if (installation !== null) found.push(pid)
  }
  return found
}

/** @returns null where the file has just gone, is being written, or was cut off by a power failure. */
function installationIn(path: string): string | null {
  try {
    return (JSON.parse(readFileSync(path, 'utf8')) as { installation: string }).installation
  } catch {
    return null
  }
}

/** Whether a process lives. On Linux a zombie does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z'
  } catch {
    // No /proc here: the signal said that it lives.
    return true
  }
}

/** A process id may have been given to another program since, after a start of the machine above all: a server names its program. */
function isServer(pid: number, kind: ServerKind): boolean {
  if (!Number.isInteger(pid) || !isAlive(pid)) return false
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`mq${kind}`)
  } catch {
    return true
  }
}
