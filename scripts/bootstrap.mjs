/**
 * Sets up a checkout: checks the Node version, installs what the lock file names when something else is installed, and
 * builds. Node built-ins only, because it runs before anything is installed. About a second on an up-to-date tree.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Node.js ${process.versions.node} is too old: 20.19 or newer is needed (22, 24 or 26 are recommended).`)
  process.exit(1)
}

function run(command, args) {
  // Output goes to standard error, so a caller's standard output stays its own.
  const done = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
  if (done.status !== 0) {
    // Nothing but this says so when npm is not there at all.
    const why = done.error === undefined ? '' : `: ${done.error.message}`
    console.error(`bootstrap: "${command} ${args.join(' ')}" failed${why}`)
    process.exit(1)
  }
}

/**
 * Whether what the lock file names is there. Times of files say nothing: a merge touches the lock file, and an installation
 * in a tree whose servers or tests run takes the ground from under them.
 */
function isInstalled() {
  const hidden = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(hidden)) return false
  const { packages: installed } = JSON.parse(readFileSync(hidden, 'utf8'))
  const { packages: locked } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  return Object.entries(locked).every(([path, { version, link, optional }]) => {
    // Workspaces are links; what is optional may be meant for another platform.
    if (!path.startsWith('node_modules/') || link) return true
    return installed[path] === undefined ? optional === true : installed[path].version === version
  })
}

if (!isInstalled()) run('npm', ['ci', '--loglevel=error'])
run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b'])
