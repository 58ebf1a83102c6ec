//! The load generator, and the numbers that it shows.

use crate::{gateway::Gateway, process::output_of};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The load generator.
#[derive(Clone)]
pub struct Load {
    /// Its program.
    pub wrk: PathBuf,
    /// How long one round lasts.
    pub seconds: u32,
    /// How many connections it makes.
    pub connections: u32,
}

/// The results of one round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Requests a second.
    pub rate: f64,
    /// Microseconds of processor time a request, of the process that serves it.
    pub cpu: f64,
}

/// The results of one way to do something, round by round.
#[derive(Debug, Default)]
pub struct Series(Vec<Round>);

impl Load {
    /// Measures one round before a server, whose processor time counts.
    pub fn measure(&self, process: u32, url: &str, arguments: &[&str], series: &mut Series) -> Result<()> {
        let process = process.to_string();
        let before = cpu_seconds(&process, OWN)?;
        let (requests, rate) = self.run(url, arguments)?;
        let cpu = (cpu_seconds(&process, OWN)? - before) * 1e6 / requests;
        series.0.push(Round { rate, cpu });
        Ok(())
    }

    /// Returns the requests done, and requests a second. An answer that is no success is an error.
    pub fn run(&self, url: &str, arguments: &[&str]) -> Result<(f64, f64)> {
        let mut command = Command::new(&self.wrk);
        command
            .args(["-t1", &format!("-c{}", self.connections), &format!("-d{}s", self.seconds)])
            // An answer that takes longer would count as an error.
            .arg("--timeout=30s")
            .args(arguments)
            .arg(url);
        let output = output_of(&mut command)?;
        if let Some(line) =
            output.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors"))
        {
            bail!("{url}: {}", line.trim());
        }
        let requests =
            output.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
        let rate = output.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
        let (requests, rate) =
            requests.zip(rate).with_context(|| format!("wrk wrote something else: {output}"))?;
        ensure!(requests > 0.0, "{url}: nothing was answered in {} s", self.seconds);
        Ok((requests, rate))
    }
}

/// Measures one round of a program that makes its own load, whose processor time counts. `read` finds the requests done,
/// and requests a second, in its output.
pub fn measure_program(
    command: &mut Command,
    read: impl FnOnce(&str) -> Option<(f64, f64)>,
    series: &mut Series,
) -> Result<()> {
    let before = cpu_seconds("self", ENDED_CHILDREN)?;
    let output = output_of(command)?;
    let cpu = cpu_seconds("self", ENDED_CHILDREN)? - before;
    let numbers = read(&output).with_context(|| format!("it wrote something else: {output}"))?;
    let (requests, rate) = numbers;
    series.0.push(Round { rate, cpu: cpu * 1e6 / requests });
    Ok(())
}

/// Writes a script by which wrk asks with this token; with a body, by `POST`. `then` is more of the script.
pub fn write_script(file: &Path, token: &str, body: Option<&str>, then: &str) -> Result<String> {
    let mut script = format!("wrk.headers['Authorization'] = 'Bearer {token}'\n");
    if let Some(body) = body {
        write!(
            script,
            "wrk.method = 'POST'\nwrk.body = [==[{body}]==]\nwrk.headers['Content-Type'] = 'application/json'\n"
        )?;
    }
    fs::write(file, script + then)?;
    Ok(file.to_str().context("the folder's name is not UTF-8")?.to_owned())
}

impl Series {
    /// Lists all rounds.
    pub fn rounds(&self) -> &[Round] {
        &self.0
    }

    /// Returns the median of requests a second.
    pub fn rate(&self) -> f64 {
        self.median(|round| round.rate)
    }

    /// Returns the median of microseconds of processor time a request.
    pub fn cpu(&self) -> f64 {
        self.median(|round| round.cpu)
    }

    fn median(&self, value: impl Fn(&Round) -> f64) -> f64 {
        median(&self.0.iter().map(value).collect::<Vec<_>>())
    }

    /// Prints it beside another, which was measured in the same rounds.
    pub fn print_beside(&self, name: &str, peer: &str, theirs: &Self) {
        println!(
            "{name:<26} gateway {:>7.0}   {peer:<11}{:>7.0}   ratio {:.2}   CPU us a request: gateway {:.1}, {peer} {:.1}, ratio {:.2}",
            self.rate(),
            theirs.rate(),
            self.ratio(theirs, |round| round.rate),
            self.cpu(),
            theirs.cpu(),
            self.ratio(theirs, |round| round.cpu),
        );
        let list = |value: &dyn Fn(&Round) -> f64, digits: usize| {
            let pairs = self.0.iter().zip(&theirs.0);
            let pairs =
                pairs.map(|(ours, theirs)| format!("{:.digits$}/{:.digits$}", value(ours), value(theirs)));
            pairs.collect::<Vec<_>>().join(" ")
        };
        println!("    rounds: {}; CPU {}", list(&|round| round.rate, 0), list(&|round| round.cpu, 1));
    }

    /// Returns the median of the rounds' ratios.
    fn ratio(&self, theirs: &Self, value: impl Fn(&Round) -> f64) -> f64 {
        let pairs = self.0.iter().zip(&theirs.0);
        median(&pairs.map(|(ours, theirs)| value(ours) / value(theirs)).collect::<Vec<_>>())
    }
}

/// The place in `/proc/PID/stat` of the processor time of the process, and of its children that have ended: in user
/// mode and, next to it, in the kernel. It is counted after the name in brackets.
const OWN: usize = 11;
const ENDED_CHILDREN: usize = 13;

fn cpu_seconds(process: &str, field: usize) -> Result<f64> {
    let ticks_a_second: f64 = output_of(Command::new("getconf").arg("CLK_TCK"))?.parse()?;
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("/proc/PID/stat")?;
    let ticks: Vec<f64> =
        rest.split_whitespace().skip(field).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / ticks_a_second)
}

/// Reads how much memory a gateway holds.
pub fn resident_mebibytes(gateway: &Gateway) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{}/status", gateway.id()))?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    Ok(kibibytes.context("/proc/PID/status")?.parse::<f64>()? / 1024.0)
}

/// Converts a time to a number of milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Finds the value in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
impl Series {
    /// Makes one of rounds with these values, for tests.
    pub fn of(rounds: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self(rounds.into_iter().map(|(rate, cpu)| Round { rate, cpu }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_is_the_median_of_the_rounds_own_ratios() {
        // The machine was twice as fast in the second round, which changes the rates, and not the ratio.
        let ours = Series::of([(10.0, 4.0), (20.0, 2.0), (9.0, 4.0)]);
        let theirs = Series::of([(20.0, 2.0), (40.0, 1.0), (20.0, 2.0)]);
        assert_eq!((ours.rate(), ours.cpu(), theirs.rate()), (10.0, 4.0, 20.0));
        assert_eq!(ours.ratio(&theirs, |round| round.rate), 0.5);
        assert_eq!(ours.ratio(&theirs, |round| round.cpu), 2.0);
    }

    #[test]
    fn processor_time_of_a_program_that_has_ended_counts() {
        let mut series = Series::default();
        let mut busy = Command::new("sh");
        busy.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; echo 2 5"]);
        let read = |output: &str| {
            let (requests, rate) = output.split_once(' ')?;
            Some((requests.parse().ok()?, rate.parse().ok()?))
        };
        measure_program(&mut busy, read, &mut series).unwrap();
        assert_eq!(series.rate(), 5.0);
        assert!(series.cpu() > 0.0, "{series:?}");
    }
}
